/**
 * # Payment drivers
 *
 * A payment driver moves money on one kind of ledger. The payment module decides *whom* to pay *how much* and *when*
 * (allocations, documents, acceptances); a driver knows *how*: balances, gas, transactions, confirmations.
 *
 * ## Terms
 * - **Network**: one ledger the driver can reach (`hoodi`, `polygon`), named without a dash.
 * - **Platform**: driver + network + token, `erc20-hoodi-tglm`, always lower case.
 * - **Order**: the wish to pay one amount to one payee by a due instant. Named by the caller (`paymentOrderId`).
 * - **Settlement**: what the ledger holds in the end: one transfer from payer to payee, which may cover many orders of
 *   the same payer, payee and platform. It is proven to the payee by its *confirmation* (for `erc20` the 32 bytes of
 *   the transaction hash) and told apart from others in the same transaction by its *log index*.
 * - **Claim**: the part of a received transfer that one received `Payment` stands for. The sum of claims on a transfer
 *   never exceeds what the chain says was transferred.
 *
 * ## Lifecycle of an order (payer)
 *
 *     schedule -> queued -> sending -> settled
 *                   ^_________|   (the transaction failed, or was replaced by an outside one: queued again)
 *
 * 1. `schedule` writes the order down before it returns. It is synchronous, so that the caller may do it inside its
 *    own `Database.transaction`: then "the document is scheduled" and "the order exists" cannot disagree.
 * 2. The driver gathers orders that are due, adds up those to the same payee, and sends them, many in one transaction.
 *    An order waits, and is never lost or failed, while gas, tokens or the RPC endpoints are missing; `status` says so.
 * 3. When the transfer has the network's wanted depth, `onSettled` listeners hear of it. **At least once**: the driver
 *    repeats a settlement after a crash, or when a listener threw, until each listener has returned. Tell repetitions
 *    by `(platform, confirmation, logIndex)`, or by the order ids.
 *
 * Register listeners before `start()`.
 *
 * ## Lifecycle of a received payment (payee)
 *
 *     const seen = await driver.verify({ confirmation, platform, payer, payee, amountWei }, { patienceMs: 60_000 })
 *     if (seen.kind === 'confirmed') db.transaction(() => { driver.claim({ paymentId, amountWei, transfer: seen }); ... })
 *
 * `claim` is synchronous and durable for the same reason as `schedule`, and refuses what was claimed before.
 * `confirmed` means deep enough to act on. While `isFinal` is false a reorganisation may still undo it: verify once
 * more after `finalInMs`, and un-settle (`release`) when it is no longer `confirmed`.
 *
 * ## Capabilities
 * Optional powers are declared in `capabilities`; calling a missing one throws `DriverError` `unsupported`.
 *
 * Every method that waits takes an `AbortSignal`. Amounts are in the token's smallest unit; see `decimals`.
 */
import type { AbortOptions, NodeId, Service, Unregister } from '@emet/core'

export type PaymentDriver = Service & {
  /** The first part of its platforms' names: `erc20`. */
  readonly name: string
  readonly capabilities: DriverCapabilities

  /** What it can pay on. Constant while the driver lives; no I/O. */
  networks(): readonly DriverNetwork[]

  /** What `address` holds. Throws `DriverError` (`unknown-platform`, `rpc`). */
  balance(address: NodeId, platform: string, options?: AbortOptions): Promise<AccountBalance>
  /** Gets test tokens, and gas if the network has a faucet. Resolves with a text for the user. Throws `no-faucet`. */
  fund(request: FundRequest, options?: AbortOptions): Promise<string>
  /**
   * Could `amountWei` more be spent, beside what the caller has reserved and what is scheduled here already? Platforms
   * with the same chain id and token address draw on the same balance, and count together.
   */
  checkFunds(request: FundsRequest, options?: AbortOptions): Promise<FundsCheck>

  /**
   * Writes an order down, to be sent by `dueMs`. Synchronous and durable. The same request under the same id changes
   * nothing; another one throws `order-conflict`. Throws `unknown-platform` and `bad-request` as well.
   */
  schedule(order: PaymentOrder): void
  /** Where an order stands; undefined when it is unknown. */
  order(paymentOrderId: string): OrderProgress | undefined
  /** Sends what is scheduled on `platform` (on all, when omitted) now instead of when due. Returns at once. */
  flush(platform?: string): void
  /** Sends an amount that no document asks for (a withdrawal), now. Resolves when it has settled. */
  transfer(request: TransferRequest, options?: AbortOptions): Promise<Settlement>

  onSettled(listener: (settlement: Settlement) => void): Unregister
  /** Called when `status()` has become different. */
  onStatusChanged(listener: (status: readonly DriverStatus[]) => void): Unregister

  /** What the chain says about a payment that a peer claims to have made. Throws only `unknown-platform` and `rpc`. */
  verify(request: VerifyRequest, options?: VerifyOptions): Promise<Verification>
  /** Uses up part of a verified transfer for one payment. Idempotent by `paymentId`. Throws `already-claimed`. */
  claim(claim: TransferClaim): void
  /** Undoes `claim`. */
  release(paymentId: string): void

  /** What keeps the driver from paying; empty when healthy. `network` narrows it. */
  status(network?: string): readonly DriverStatus[]
}

export type DriverCapabilities = {
  /** `fund` works on at least one network. */
  readonly faucet: boolean
  /** Allocations may be backed by a deposit contract. */
  readonly deposits: boolean
  /** Many payees in one transaction. */
  readonly batches: boolean
}

export type DriverNetwork = {
  /** Lower case, no dash. */
  readonly name: string
  readonly chainId: number
  /** Symbol of the coin that pays fees: `ETH`, `tETH`, `POL`. */
  readonly gasSymbol: string
  readonly tokens: readonly DriverToken[]
  readonly isDefault: boolean
  readonly isTestnet: boolean
  /** Switched off by its operators. It is only reachable when a local chain stands in for it. */
  readonly isRetired: boolean
  readonly hasFaucet: boolean
}

export type DriverToken = {
  /** As shown to people: `GLM`, `tGLM`. */
  readonly symbol: string
  /** The payment platform: `erc20-hoodi-tglm`. */
  readonly platform: string
  readonly decimals: number
  /** The contract, lower case. */
  readonly address: string
  readonly isDefault: boolean
}

export type AccountBalance = {
  readonly platform: string
  readonly tokenWei: bigint
  readonly tokenSymbol: string
  readonly tokenDecimals: number
  readonly gasWei: bigint
  readonly gasSymbol: string
  readonly blockNumber: number
  /** The block's own time, milliseconds since the epoch. */
  readonly blockTimeMs: number
}

export type FundRequest = {
  readonly address: NodeId
  readonly network: string
  /** Only tokens, no gas coin. */
  readonly mintOnly?: boolean
  /** Constant texts for a progress display. */
  readonly onProgress?: (text: string) => void
}

export type FundsRequest = {
  readonly address: NodeId
  readonly platform: string
  /** What is wanted in addition. */
  readonly amountWei: bigint
  /** Held by the caller's other allocations: their remainders, and accepted amounts not yet given to `schedule`. */
  readonly reservedWei: bigint
}

export type FundsCheck = {
  /** `amountWei <= availableWei`. */
  readonly isEnough: boolean
  /** Token balance less `reservedWei` less what is scheduled here and not yet on chain; never negative. */
  readonly availableWei: bigint
  readonly balanceWei: bigint
  readonly scheduledWei: bigint
  /** False: the account could not pay the fee of even one transfer at today's price. */
  readonly hasGas: boolean
  readonly gasWei: bigint
  readonly gasNeededWei: bigint
}

export type PaymentOrder = {
  /** Chosen by the caller, at most `ORDER_ID_LENGTH_MAX` characters, unique for ever. */
  readonly paymentOrderId: string
  readonly payer: NodeId
  readonly payee: NodeId
  readonly platform: string
  /** More than zero. */
  readonly amountWei: bigint
  /** Send by then; may be past. Milliseconds since the epoch. */
  readonly dueMs: number
}

export type TransferRequest = Omit<PaymentOrder, 'paymentOrderId' | 'dueMs'>

export type OrderProgress =
  | { readonly kind: 'queued'; readonly dueMs: number; readonly waitingFor?: 'gas' | 'token' | 'rpc' | 'key' }
  | { readonly kind: 'sending'; readonly transactionHash?: string }
  | { readonly kind: 'settled'; readonly settlement: Settlement }

export type Settlement = {
  /** All orders this transfer pays, at least one. */
  readonly paymentOrderIds: readonly string[]
  readonly platform: string
  readonly payer: NodeId
  readonly payee: NodeId
  /** The sum of the orders. */
  readonly amountWei: bigint
  /** Proof for the payee; goes into `Payment.details`. For `erc20` the 32 bytes of the transaction hash. */
  readonly confirmation: Uint8Array
  /** Which log of the transaction the transfer is. */
  readonly logIndex: number
  readonly blockNumber: number
  readonly blockHash: string
  /** The payer's share of the fee in the gas coin's smallest unit. */
  readonly feeWei: bigint
}

export type VerifyRequest = {
  readonly confirmation: Uint8Array
  readonly platform: string
  readonly payer: NodeId
  readonly payee: NodeId
  /** At least this much must have been transferred and not be claimed yet. */
  readonly amountWei: bigint
  /** When given, what this payment itself has claimed already does not count as claimed. */
  readonly paymentId?: string
}

/** `patienceMs`: how long to wait while the answer is `pending`; 0 (the default) asks once. */
export type VerifyOptions = AbortOptions & { readonly patienceMs?: number }

export type Verification = ConfirmedTransfer | PendingTransfer | RefusedTransfer

export type ConfirmedTransfer = {
  readonly kind: 'confirmed'
  readonly platform: string
  readonly payer: NodeId
  readonly payee: NodeId
  readonly chainId: number
  readonly transactionHash: string
  /** Every transfer of the token from payer to payee in the transaction. */
  readonly logs: readonly TransferLog[]
  /** Sum over `logs`. */
  readonly amountWei: bigint
  /** What other payments have claimed of it. */
  readonly claimedWei: bigint
  readonly blockNumber: number
  readonly blockHash: string
  readonly blockTimeMs: number
  /** Blocks on top of and including its own. */
  readonly depth: number
  readonly isFinal: boolean
  /** About how long until `isFinal`; 0 when it is. */
  readonly finalInMs: number
}

export type TransferLog = { readonly logIndex: number; readonly amountWei: bigint }

/** Not there yet: ask again later. */
export type PendingTransfer = {
  readonly kind: 'pending'
  readonly reason: 'not-found' | 'not-deep-enough'
  readonly depth: number
  readonly wantedDepth: number
}

/** It will never be a payment for this request. */
export type RefusedTransfer = {
  readonly kind: 'refused'
  readonly reason: RefusalReason
  /** For the log: names the values. */
  readonly message: string
  readonly foundWei: bigint
}

export type RefusalReason =
  /** The confirmation is no transaction hash. */
  | 'malformed'
  /** The transaction was reverted. */
  | 'reverted'
  /** No transfer of the platform's token from this payer to this payee in it. */
  | 'no-transfer'
  /** The payee got tokens, from somebody who is not the payer. */
  | 'wrong-payer'
  | 'too-small'
  /** Enough was transferred, but other payments have claimed it. */
  | 'already-claimed'

export type TransferClaim = {
  readonly paymentId: string
  readonly amountWei: bigint
  readonly transfer: ConfirmedTransfer
}

/** Golem REST: `DriverStatusProperty`, tag `kind`, passed on as it is. */
export type DriverStatus =
  | {
      readonly kind: 'InsufficientGas'
      readonly driver: string
      readonly network: string
      readonly address: string
      /** Decimal text in whole gas coins. */
      readonly neededGasEst: string
    }
  | {
      readonly kind: 'InsufficientToken'
      readonly driver: string
      readonly network: string
      readonly address: string
      /** Decimal text in whole tokens. */
      readonly neededTokenEst: string
    }
  | { readonly kind: 'InvalidChainId'; readonly driver: string; readonly chainId: number }
  | { readonly kind: 'CantSign'; readonly driver: string; readonly network: string; readonly address: string }
  | { readonly kind: 'TxStuck'; readonly driver: string; readonly network: string }
  | { readonly kind: 'RpcError'; readonly driver: string; readonly network: string }

/** Characters of a payment order id or a payment id. */
export const ORDER_ID_LENGTH_MAX = 128
