/**
 * The few contract calls of payments, encoded by hand: their arguments are words of 32 bytes, and an ABI encoder takes
 * longer to load than the daemon to start. The tests compare each with a general encoder.
 */
import type { ChainLog, Hex } from './types.ts'

/** `Transfer(address,address,uint256)` of ERC-20. */
export const TRANSFER_TOPIC = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'

const word = (value: bigint | string) =>
  (typeof value === 'bigint' ? value.toString(16) : value.slice(2).toLowerCase()).padStart(64, '0')

export const encodeTransfer = (payee: string, amountWei: bigint): Hex => `0xa9059cbb${word(payee)}${word(amountWei)}`
export const encodeApprove = (spender: string, amountWei: bigint): Hex => `0x095ea7b3${word(spender)}${word(amountWei)}`
export const encodeBalanceOf = (address: string): Hex => `0x70a08231${word(address)}`
export const encodeAllowance = (owner: string, spender: string): Hex => `0xdd62ed3e${word(owner)}${word(spender)}`
/** Golem's faucets: `create()`. */
export const encodeCreate = (): Hex => '0xefc81a8c'

export type Payout = { readonly payee: string; readonly amountWei: bigint }

/** Golem wire: `golemTransferDirectPacked(bytes32[])`, an item is 20 bytes of address and 12 bytes of amount. */
export function encodeMultiPay(payouts: readonly Payout[]): Hex {
  const items = payouts.map(({ payee, amountWei }) => {
    const amount = amountWei.toString(16).padStart(24, '0')
    if (amount.length > 24) throw new RangeError(`amount ${amountWei} does not fit into 12 bytes`)
    return payee.slice(2).toLowerCase() + amount
  })
  return `0x${MULTI_PAY_SELECTOR}${word(32n)}${word(BigInt(payouts.length))}${items.join('')}`
}

/** Selector of `golemTransferDirectPacked(bytes32[])`. */
export const MULTI_PAY_SELECTOR = '7c26640c'

export type TokenTransfer = {
  readonly from: string
  readonly to: string
  readonly amountWei: bigint
  readonly logIndex: number
}

/** A log as a transfer of `token`; undefined when it is anything else, of any other contract above all. */
export function parseTransfer(log: ChainLog, token: string): TokenTransfer | undefined {
  const [topic, from, to] = log.topics
  if (log.address.toLowerCase() !== token || topic !== TRANSFER_TOPIC || log.topics.length !== 3) return undefined
  if (!from || !to || !/^0x[0-9a-f]{64}$/i.test(log.data)) return undefined
  return { from: toAddress(from), to: toAddress(to), amountWei: BigInt(log.data), logIndex: log.logIndex }
}

const toAddress = (topic: string) => `0x${topic.slice(-40).toLowerCase()}`
