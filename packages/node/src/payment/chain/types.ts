/**
 * A chain, as a payment driver sees it: an account book that is asked over the network, may lag, may contradict itself
 * after a reorganisation, and may not answer at all. Adapters: `rpc` (JSON-RPC with fail-over), and one in memory for
 * tests.
 *
 * Every method rejects with `ChainError`: `unreachable` when nobody answered (nothing is known about the effect),
 * `wrong-chain`, `reverted` (only `estimateGas`), or `refused` (an answer we do not understand).
 */
import type { AbortOptions } from '@emet/core'

export type Hex = `0x${string}`

export interface Chain {
  readonly chainId: number
  head(options?: AbortOptions): Promise<Head>
  /** The hash of the block at this height now; undefined above the head. */
  blockAt(number: number, options?: AbortOptions): Promise<Head | undefined>
  gasBalance(address: string, options?: AbortOptions): Promise<bigint>
  tokenBalance(token: string, address: string, options?: AbortOptions): Promise<bigint>
  allowance(token: string, owner: string, spender: string, options?: AbortOptions): Promise<bigint>
  /** How many transactions of the account count: mined (`latest`), with waiting ones, or at an older block. */
  nonce(address: string, at: 'latest' | 'pending' | number, options?: AbortOptions): Promise<number>
  feeMarket(options?: AbortOptions): Promise<FeeMarket>
  estimateGas(call: ChainCall, options?: AbortOptions): Promise<bigint>
  /** Hands over a signed transaction. The outcomes are those a payer must tell apart; sending twice is harmless. */
  send(raw: Hex, options?: AbortOptions): Promise<SendOutcome>
  /** `everywhere`: asks all endpoints, and rejects unless all of them answer. For decisions that cost money when wrong. */
  receipt(hash: Hex, options?: AbortOptions & { readonly everywhere?: boolean }): Promise<Receipt | undefined>
}

export type Head = { readonly number: number; readonly hash: Hex; readonly timeMs: number }

export type FeeMarket = {
  /** What the next block will ask for each unit of gas. */
  readonly baseFeeWei: bigint
  /** What recent blocks got on top, in the middle. */
  readonly priorityFeeWei: bigint
}

export type ChainCall = { readonly from: string; readonly to: string; readonly data: Hex }

export type SendOutcome =
  /** Accepted now, or known before. */
  | 'accepted'
  /** The nonce is used up: by this transaction, by another attempt, or by somebody else. */
  | 'nonce-used'
  /** Another transaction with this nonce pays as much or more. */
  | 'underpriced'
  | 'insufficient-gas'

export type Receipt = {
  readonly hash: Hex
  readonly isSuccess: boolean
  readonly blockNumber: number
  readonly blockHash: Hex
  readonly from: string
  /** Null when it created a contract. */
  readonly to: string | null
  readonly gasUsed: bigint
  readonly gasPriceWei: bigint
  readonly logs: readonly ChainLog[]
}

export type ChainLog = {
  /** The contract, lower case. */
  readonly address: string
  readonly topics: readonly string[]
  readonly data: Hex
  readonly logIndex: number
}
