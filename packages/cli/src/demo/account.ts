/** The demo's account: what was agreed and paid, checked against the chain. */
import { formatAmount } from '@emet/core'
import { formatTable } from '../output.ts'

export type ProviderAccount = {
  readonly nodeId: string
  readonly name: string
  readonly tiles: number
  readonly seconds: number
  readonly usage: Readonly<Record<string, number>>
  readonly agreed: bigint
  readonly paid: bigint
  readonly transaction: string | undefined
}

export type Balances = Readonly<Record<string, bigint>>

/** What does not add up; empty when everything does. */
export function findDiscrepancies(
  accounts: readonly ProviderAccount[],
  requestorId: string,
  before: Balances,
  after: Balances,
): string[] {
  const change = (address: string) => (after[address] ?? 0n) - (before[address] ?? 0n)
  const paid = accounts.reduce((sum, account) => sum + account.paid, 0n)
  const wrong = accounts
    .filter((account) => change(account.nodeId) !== account.paid)
    .map((account) => `${account.name} was paid ${account.paid}, but its balance changed by ${change(account.nodeId)}`)
  if (change(requestorId) !== -paid)
    wrong.push(`${paid} was paid, but the requestor's balance changed by ${change(requestorId)}`)
  return wrong
}

export function formatAccount(accounts: readonly ProviderAccount[]): string {
  const rows = accounts.map((account) => ({
    provider: account.name,
    tiles: account.tiles,
    seconds: account.seconds.toFixed(1),
    'cpu s': (account.usage['golem.usage.cpu_sec'] ?? 0).toFixed(2),
    'agreed GLM': formatAmount(account.agreed),
    'paid GLM': formatAmount(account.paid),
    transaction: account.transaction ?? '-',
  }))
  const sum = (amount: (account: ProviderAccount) => bigint) => accounts.reduce((total, one) => total + amount(one), 0n)
  const total = {
    provider: 'total',
    tiles: accounts.reduce((count, { tiles }) => count + tiles, 0),
    seconds: '',
    'cpu s': '',
    'agreed GLM': formatAmount(sum(({ agreed }) => agreed)),
    'paid GLM': formatAmount(sum(({ paid }) => paid)),
    transaction: '',
  }
  return formatTable([...rows, total])
}
