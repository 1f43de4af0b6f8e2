/**
 * What the payment module keeps: its nouns as they lie in the store. Amounts are bigint in the token's smallest unit,
 * instants whole microseconds. `owner` is the identity of this node whose record it is: two identities of one node may
 * trade with each other, and each has its own records then.
 */
import type { Deposit, DocumentKind, DocumentStatus, InstantUs, NodeId, PaymentEventKind, Role } from '@emet/core'

/** Bytes that nobody shares. */
export type Bytes = Uint8Array<ArrayBuffer>

/** A claim for money: a debit note (cumulative, for one activity) or an invoice (final, for one agreement). */
export type PaymentDocument = {
  readonly kind: DocumentKind
  readonly owner: NodeId
  readonly role: Role
  readonly id: string
  readonly agreementId: string
  /** Of a debit note. */
  readonly activityId: string | undefined
  /** Of an invoice. */
  readonly activityIds: readonly string[]
  /** The debit note before this one in its activity's chain. */
  readonly previousId: string | undefined
  readonly issuerId: NodeId
  readonly recipientId: NodeId
  readonly payeeAddr: NodeId
  readonly payerAddr: NodeId
  readonly platform: string
  readonly amountWei: bigint
  /** The usage counters, as JSON. */
  readonly usage: unknown
  /** A debit note with a due date is payable before the invoice. */
  readonly dueUs: InstantUs | undefined
  readonly timestampUs: InstantUs
  readonly status: DocumentStatus
}

/** Money that its owner has set aside. `totalWei = spentWei + what remains`; spent never exceeds total. */
export type AllocationRecord = {
  readonly id: string
  readonly owner: NodeId
  /** The account on the ledger. */
  readonly address: NodeId
  readonly platform: string
  readonly totalWei: bigint
  readonly spentWei: bigint
  readonly timeoutUs: InstantUs
  readonly createdUs: InstantUs
  readonly updatedUs: InstantUs
  readonly isReleased: boolean
  readonly deposit: Deposit | undefined
  readonly extendTimeoutSec: number | undefined
}

/** What may still be spent; nothing once released. */
export function remainingOf({ totalWei, spentWei, isReleased }: AllocationRecord): bigint {
  return isReleased ? 0n : totalWei - spentWei
}

/** What an allocation has been spent on. */
export type Expenditure = {
  readonly allocationId: string
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly acceptedWei: bigint
  readonly scheduledWei: bigint
}

/** The four sums of an agreement or an activity; each step follows the one before: due, accepted, scheduled, paid. */
export type Sums = {
  readonly dueWei: bigint
  readonly acceptedWei: bigint
  readonly scheduledWei: bigint
  readonly paidWei: bigint
}

/** The terms of payment of an agreement, fixed with its first document, and its sums (those of its activities included). */
export type AgreementTotals = Sums & {
  readonly owner: NodeId
  readonly role: Role
  readonly agreementId: string
  readonly peerId: NodeId
  readonly payeeAddr: NodeId
  readonly payerAddr: NodeId
  readonly platform: string
  readonly appSessionId: string | undefined
  readonly createdUs: InstantUs
  readonly updatedUs: InstantUs
}

export type ActivityTotals = Sums & {
  readonly owner: NodeId
  readonly role: Role
  readonly activityId: string
  readonly agreementId: string
  readonly createdUs: InstantUs
  readonly updatedUs: InstantUs
}

/** An accepted amount, until and after it is ordered. */
export type Obligation = {
  readonly id: number
  readonly owner: NodeId
  readonly payeeId: NodeId
  readonly payeeAddr: NodeId
  readonly payerAddr: NodeId
  readonly platform: string
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly allocationId: string
  readonly amountWei: bigint
  /** False while only debit notes without a due date ask for it. */
  readonly isPayable: boolean
  readonly dueUs: InstantUs | undefined
  readonly orderId: string | undefined
  readonly createdUs: InstantUs
}

/** One run of a payment cycle. */
export type BatchOrder = {
  readonly id: string
  readonly owner: NodeId
  readonly payerAddr: NodeId
  readonly platform: string
  readonly totalWei: bigint
  readonly createdUs: InstantUs
  readonly updatedUs: InstantUs
}

/** One payee's share of a run: what the driver is told to transfer. */
export type PaymentOrderRecord = {
  /** Also the driver's `paymentOrderId`. */
  readonly id: string
  readonly batchId: string
  readonly owner: NodeId
  readonly payeeId: NodeId
  readonly payeeAddr: NodeId
  readonly payerAddr: NodeId
  readonly platform: string
  readonly allocationId: string
  readonly amountWei: bigint
  readonly dueUs: InstantUs
  readonly paymentId: string | undefined
}

export type PaymentShare = {
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly amountWei: bigint
  /** Never leaves this node. */
  readonly allocationId: string | undefined
}

/** A settled transfer, as one of its two parties has recorded it. */
export type PaymentRecord = {
  readonly owner: NodeId
  readonly role: Role
  readonly id: string
  readonly payerId: NodeId
  readonly payeeId: NodeId
  readonly payerAddr: NodeId
  readonly payeeAddr: NodeId
  readonly platform: string
  readonly amountWei: bigint
  /** When the payer made the record; signed. */
  readonly timestampUs: InstantUs
  /** When it was recorded here: strictly increasing, the cursor of `GET /payments`. */
  readonly recordedUs: InstantUs
  readonly shares: readonly PaymentShare[]
  /** The ledger's proof: of `erc20` the transaction hash. */
  readonly confirmation: Bytes
  readonly signature: Bytes | undefined
  readonly signedBytes: Bytes | undefined
  /** When to look again whether the chain still shows it; undefined when it is final. */
  readonly recheckMs: number | undefined
}

/** A payment that a peer has announced and the chain does not show yet. */
export type AnnouncedPayment = {
  readonly owner: NodeId
  readonly id: string
  readonly peerId: NodeId
  readonly signature: Bytes
  readonly signedBytes: Bytes
  readonly firstSeenMs: number
  readonly tries: number
  readonly nextTryMs: number
}

export type DocumentEvent = {
  readonly atUs: InstantUs
  readonly owner: NodeId
  readonly role: Role
  readonly kind: DocumentKind
  readonly documentId: string
  readonly type: PaymentEventKind
  readonly appSessionId: string | undefined
  /** The rejection of REJECTED, the driver status of PAYMENT_EVENT. */
  readonly details: unknown
}

export type OutboxKind = 'debit-note-accept' | 'debit-note-reject' | 'invoice-accept' | 'invoice-reject' | 'payment'

/** Something a peer must hear of and has not confirmed yet. */
export type OutboxEntry = {
  readonly id: number
  readonly owner: NodeId
  readonly peerId: NodeId
  readonly kind: OutboxKind
  /** Id of the document or the payment. */
  readonly ref: string
  /** Of a reject: the rejection, as JSON. */
  readonly details: unknown
}

/** The next attempt to bring a peer up to date. `nextMs` undefined: given up until something changes. */
export type SyncState = {
  readonly owner: NodeId
  readonly peerId: NodeId
  readonly tries: number
  readonly nextMs: number | undefined
}

/** When the accepted amounts of an identity on a platform are ordered. */
export type PaymentCycle = {
  readonly owner: NodeId
  readonly platform: string
  readonly intervalMs: number | undefined
  readonly cron: string | undefined
  /** A due date is met with this much to spare. */
  readonly extraPayTimeMs: number
  readonly nextMs: number
  readonly lastMs: number | undefined
}
