/** A local network whose processes can be killed and started again, and rentals on it that last as long as a test wants. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, createClient } from '@emet/api'
import { connect, type Receipt, type Rental, type RentSpec, type RunHandle } from '@emet/sdk'
import { expect } from 'vitest'
import { readBalances } from '../../packages/cli/src/network/balances.ts'
import { type LocalNetwork, type LocalNode, startLocalNetwork } from '../../packages/cli/src/network/local-network.ts'
import { HOME, processesMentioning } from './emet.ts'

const PROGRAM = join(HOME, 'tests', 'e2e', 'programs', 'wait-for-file.wasm')
const POLL_MS = 50
/** How long a condition may take to become true. */
const PATIENCE_MS = 20_000

/** Asks until the answer is something, and gives it. What is thrown counts as "not yet". */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false> | T | undefined | false) {
  const endMs = Date.now() + PATIENCE_MS
  for (let last: unknown; ; await sleep(POLL_MS)) {
    try {
      const found = await probe()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > endMs) throw new Error(`${what}: not so within ${PATIENCE_MS / 1000} s`, { cause: last })
  }
}

/** A rental on which a program runs until it is told to end. */
export type BusyRental = {
  readonly rental: Rental
  readonly run: RunHandle
  /** The supervisor's process. */
  readonly exeUnit: number
  /** Lets the program end, and gives its output. */
  finish(): Promise<string>
  /** Ends the rental, waits for the money, and checks that every book and the chain say the same, once. */
  settle(): Promise<Receipt>
}

export type Trial = {
  readonly dir: string
  readonly network: LocalNetwork
  readonly requestor: Client
  /** The provider at a position, from 0. */
  provider(at: number): LocalNode & { readonly client: Client }
  /** Kills processes of the network, does something without them, and starts them again. */
  without<T>(names: readonly string[], meanwhile?: () => Promise<T>): Promise<T | undefined>
  /** The process of a member of the network, such as `provider-1-agent`. */
  pidOf(name: string): number
  /** Rents a provider and has a program running there. */
  rentBusy(at: number, spec?: Partial<RentSpec>): Promise<BusyRental>
  /** Processes that mention this network or the text. */
  processes(mentioning?: string): string[]
  /** Folders and files of the network whose names begin so. */
  filesNamed(start: string): string[]
  stop(): Promise<void>
}

export async function startTrial(providers: number): Promise<Trial> {
  const dir = mkdtempSync(join(tmpdir(), 'emet-trial-'))
  const network = await startLocalNetwork({
    dir,
    providers,
    mainFile: join(HOME, 'packages', 'cli', 'src', 'main.ts'),
    onProgress: () => {},
    signal: new AbortController().signal,
  })
  const clientOf = ({ apiUrl: url, appKey }: LocalNode) => createClient({ url, appKey })
  const requestor = clientOf(network.requestor)
  const clients = network.providers.map((node) => ({ ...node, client: clientOf(node) }))
  const member = (name: string) => {
    const found = network.processes.find((child) => child.name === name)
    if (!found) throw new Error(`no process ${name}`)
    return found
  }
  const provider: Trial['provider'] = (at) => clients[at] as (typeof clients)[number]
  const session = await connect({ url: network.requestor.apiUrl, appKey: network.requestor.appKey })

  const balance = async (nodeId: string) => (await readBalances(network.chain, [nodeId]))[nodeId] as bigint
  const rentBusy: Trial['rentBusy'] = async (at, spec = {}) => {
    const { nodeId, client } = provider(at)
    const before = await balance(nodeId)
    const rental = await session.rent(
      {
        payload: { path: PROGRAM },
        only: [nodeId],
        ...spec,
        properties: { 'golem.com.scheme.payu.debit-note.interval-sec?': 2, ...spec.properties },
      },
      { budget: { max: '1' }, limits: { finish: PATIENCE_MS } },
    )
    const run = rental.run('main', ['/input/go'])
    run.result.catch(() => {})
    for await (const line of run) if (line.startsWith('waiting')) break
    const found = processesMentioning(`service-bus ${rental.activityId} `)
    expect(found).toHaveLength(1)
    return {
      rental,
      run,
      exeUnit: Number.parseInt(found[0] as string, 10),
      finish: async () => {
        await rental.put(new TextEncoder().encode('the end'), '/input/go')
        return (await run).stdout
      },
      settle: async () => {
        await rental.close()
        const receipt = await rental.settled({ signal: AbortSignal.timeout(PATIENCE_MS) })
        await expectPaidOnce(receipt, client)
        expect((await balance(nodeId)) - before).toBe(receipt.accepted)
        return receipt
      },
    }
  }
  /** Both sides have one invoice of the agreement, settled, over what the chain has moved. */
  const expectPaidOnce = async ({ agreementId, accepted, invoiceId = '' }: Receipt, provider: Client) => {
    for (const client of [requestor, provider]) {
      const invoices = await until('the invoice is settled', async () => {
        const all = await client.payment.listInvoices({ query: {} })
        const ours = all.filter((invoice) => invoice.agreementId === agreementId)
        return ours.every(({ status }) => status === 'SETTLED') && ours
      })
      expect(invoices).toEqual([expect.objectContaining({ invoiceId, amount: accepted })])
    }
    const paid = await provider.payment.getInvoicePayments({ params: { invoiceId } })
    const parts = paid.flatMap(({ agreementPayments, activityPayments }) => [...agreementPayments, ...activityPayments])
    expect(parts.reduce((sum, { amount }) => sum + amount, 0n)).toBe(accepted)
  }
  return {
    dir,
    network,
    requestor,
    provider,
    without: async (names, meanwhile) => {
      const children = names.map(member)
      await Promise.all(children.map((child) => child.kill()))
      try {
        return await meanwhile?.()
      } finally {
        // An agent starts after its daemon.
        for (const child of children.toReversed()) await child.restart()
      }
    },
    pidOf: (name) => member(name).pid,
    rentBusy,
    processes: (text = dir) => processesMentioning(text),
    filesNamed: (start) =>
      readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((path) => basename(path).startsWith(start)),
    stop: async () => {
      await session.close()
      await network.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
