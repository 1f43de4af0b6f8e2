/**
 * The life of a transaction. All moves are here; an illegal one throws.
 *
 *     assigned --sign--> signed --sent--> broadcast --mined--> mined --confirm--> final --seal--> sealed
 *        ^ reassign        ^                |  |  ^               | |               |
 *                          '-----sign-------'  |  '----drop-------'-|---------------'
 *                             (higher fee)     |                    |
 *                                           replaced             failed  (reverted)
 *
 * - `assigned`: nonce, gas limit and call are chosen, orders are tied to it, all in one database transaction.
 * - `signed`: the newest attempt's bytes are stored. After a crash the same bytes are sent, so nobody is paid twice.
 * - `broadcast`: a node has taken it. `attempts` are all signed forms, oldest first; they share the nonce, so at most one
 *   of them is ever mined.
 * - `mined`: in a block, less deep than wanted.
 * - `final`: as deep as wanted; the payees are told. Watched until a reorganisation is out of the question.
 * - `sealed`, `failed`, `replaced` are ends. In the latter two nothing was paid: the orders go back to the queue. They
 *   are reached only at the final depth, because an undone revert or replacement could still pay.
 */
import type { Hex } from '../../chain/index.ts'

export type Attempt = {
  readonly hash: Hex
  readonly raw: Hex
  readonly maxFeeWei: bigint
  readonly priorityFeeWei: bigint
  readonly signedMs: number
}

export type Inclusion = {
  readonly hash: Hex
  readonly blockNumber: number
  readonly blockHash: Hex
  readonly isSuccess: boolean
  readonly feeWei: bigint
  /** The log of each item's transfer, in the items' order; empty when nothing was transferred. */
  readonly logIndexes: readonly number[]
}

export type TransactionState =
  | { readonly kind: 'assigned' }
  | { readonly kind: 'signed'; readonly attempts: readonly Attempt[] }
  | { readonly kind: 'broadcast'; readonly attempts: readonly Attempt[] }
  | { readonly kind: 'mined' | 'final'; readonly attempts: readonly Attempt[]; readonly inclusion: Inclusion }
  | { readonly kind: 'sealed' | 'failed'; readonly attempts: readonly Attempt[]; readonly inclusion: Inclusion }
  | { readonly kind: 'replaced'; readonly attempts: readonly Attempt[] }

export type TransactionKind = TransactionState['kind']

export type TransactionEvent =
  | { readonly kind: 'reassign'; readonly nonce: number }
  | { readonly kind: 'sign'; readonly attempt: Attempt }
  | { readonly kind: 'sent' }
  | { readonly kind: 'mined'; readonly inclusion: Inclusion }
  | { readonly kind: 'confirm' | 'drop' | 'seal' | 'fail' | 'replace' }

export type Purpose = 'pay' | 'approve' | 'mint'

/** One payee's part. */
export type Item = { readonly payee: string; readonly amountWei: bigint }

export type Transaction = {
  readonly id: number
  readonly chainId: number
  readonly network: string
  readonly sender: string
  readonly purpose: Purpose
  /** The payment platform, for `pay`. */
  readonly platform: string
  readonly to: string
  readonly data: Hex
  readonly gasLimit: bigint
  readonly nonce: number
  readonly items: readonly Item[]
  readonly state: TransactionState
}

/** The transaction after the event. Throws on an illegal move. */
export function advanceTransaction(transaction: Transaction, event: TransactionEvent): Transaction {
  if (event.kind === 'reassign') {
    if (transaction.state.kind !== 'assigned') throw illegal(transaction, event)
    return { ...transaction, nonce: event.nonce }
  }
  return { ...transaction, state: nextState(transaction, event) }
}

function nextState(transaction: Transaction, event: Exclude<TransactionEvent, { kind: 'reassign' }>): TransactionState {
  const { state } = transaction
  const attempts = attemptsOf(state)
  switch (event.kind) {
    case 'sign':
      if (state.kind !== 'assigned' && state.kind !== 'broadcast') break
      return { kind: 'signed', attempts: [...attempts, event.attempt] }
    case 'sent':
      if (state.kind !== 'signed') break
      return { kind: 'broadcast', attempts }
    case 'mined':
      if (state.kind !== 'signed' && state.kind !== 'broadcast' && state.kind !== 'mined') break
      if (!attempts.some((attempt) => attempt.hash === event.inclusion.hash)) break
      return { kind: 'mined', attempts, inclusion: event.inclusion }
    case 'confirm':
      if (state.kind !== 'mined' || !state.inclusion.isSuccess) break
      return { kind: 'final', attempts, inclusion: state.inclusion }
    case 'drop':
      if (state.kind !== 'mined' && state.kind !== 'final') break
      return { kind: 'broadcast', attempts }
    case 'seal':
      if (state.kind !== 'final') break
      return { kind: 'sealed', attempts, inclusion: state.inclusion }
    case 'fail':
      if (state.kind !== 'mined' || state.inclusion.isSuccess) break
      return { kind: 'failed', attempts, inclusion: state.inclusion }
    case 'replace':
      if (state.kind !== 'signed' && state.kind !== 'broadcast') break
      return { kind: 'replaced', attempts }
  }
  throw illegal(transaction, event)
}

const illegal = (transaction: Transaction, event: TransactionEvent) =>
  new TypeError(`transaction ${transaction.id} is ${transaction.state.kind}: it cannot ${event.kind}`)

/** All signed forms, oldest first. */
export const attemptsOf = (state: TransactionState): readonly Attempt[] => ('attempts' in state ? state.attempts : [])

/** It holds the account's nonce: the next transaction waits for it. */
export const isInFlight = ({ state }: Transaction) =>
  state.kind === 'assigned' || state.kind === 'signed' || state.kind === 'broadcast' || state.kind === 'mined'

/** Nothing will change any more. */
export const isOver = ({ state }: Transaction) =>
  state.kind === 'sealed' || state.kind === 'failed' || state.kind === 'replaced'

/** It paid nobody and never will: its orders are to be queued again. */
export const isVoid = ({ state }: Transaction) => state.kind === 'failed' || state.kind === 'replaced'
