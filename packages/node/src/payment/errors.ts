import { CodedError } from '@emet/core'

export type PaymentErrorCode =
  // What a client of this node asked for.
  /** No such allocation, document, payment or view; or it is another identity's. */
  | 'not-found'
  /** The allocation was released before. */
  | 'allocation-released'
  /** The allocation named in an acceptance is unknown, released, or belongs to another account or platform. */
  | 'allocation-unusable'
  /** The allocation's remaining amount does not cover the document. */
  | 'allocation-too-small'
  /** A request breaks a rule named in the message; nothing was changed. */
  | 'bad-request'
  /** The accepted amount is not exactly the document's. */
  | 'amount-mismatch'
  /** A total is lower than what was due or accepted before. */
  | 'amount-lowered'
  /** Only the provider of the agreement issues documents. */
  | 'wrong-role'
  /** The document is past this step. */
  | 'wrong-state'
  /** A long poll more than `WAITERS_MAX`. */
  | 'too-many-waiters'
  // What a new or changed allocation ran into (facts carry the numbers).
  | 'bad-platform'
  | 'account-not-registered'
  | 'timeout-passed'
  | 'insufficient-funds'
  | 'malformed-deposit-contract'
  | 'malformed-deposit-id'
  | 'deposit-reused'
  | 'deposit-unsupported'
  // What a peer did, or did not do.
  | 'peer-refused'
  | 'peer-timeout'
  | 'peer-unreachable'
  /** A peer is not a party of the agreement, or not the one who may send this message. */
  | 'wrong-party'
  | 'foreign-agreement'
  | 'foreign-activity'
  | 'wrong-platform'
  | 'wrong-address'
  /** The same id came with other contents, or the agreement has an invoice already. */
  | 'conflict'
  | 'bad-signature'
  /** The payment's shares are empty, zero, or more than the payment. */
  | 'bad-shares'
  /** The chain does not show this payment, or shows that another payment used it. */
  | 'not-on-chain'
  /** A peer filled what is reserved for it; later is better. */
  | 'too-many'
  // This node.
  | 'driver-failed'
  | 'stopped'

/** The payment module refused or failed. Money and documents are as they were before the call. */
export class PaymentError extends CodedError<PaymentErrorCode> {}
