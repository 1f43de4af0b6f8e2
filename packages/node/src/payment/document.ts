/**
 * A document's life, and its forms.
 *
 *     provider:   ISSUED -> RECEIVED -> ACCEPTED -> SETTLED        requestor:   RECEIVED -> ACCEPTED -> SETTLED
 *                    \_________|--> REJECTED --> CANCELLED                         |--> REJECTED --> CANCELLED
 *                               \--> CANCELLED                                     \--> CANCELLED
 *
 * On the provider's side an ISSUED document may be accepted, too: the answer to `send` was lost, not the document.
 */
import type { DebitNote, DocumentStatus, Invoice, NodeId } from '@emet/core'
import { PaymentError } from './errors.ts'
import type { DocumentKind, PaymentDocument } from './records.ts'

export type DocumentMove = 'send' | 'accept' | 'reject' | 'cancel' | 'settle' | 'unsettle'

const MOVES: Readonly<Record<DocumentMove, { from: readonly DocumentStatus[]; to: DocumentStatus }>> = {
  send: { from: ['ISSUED'], to: 'RECEIVED' },
  accept: { from: ['ISSUED', 'RECEIVED', 'FAILED'], to: 'ACCEPTED' },
  reject: { from: ['ISSUED', 'RECEIVED', 'FAILED'], to: 'REJECTED' },
  cancel: { from: ['ISSUED', 'RECEIVED', 'REJECTED', 'FAILED'], to: 'CANCELLED' },
  settle: { from: ['ACCEPTED'], to: 'SETTLED' },
  // A reorganisation of the chain took the payment back.
  unsettle: { from: ['SETTLED'], to: 'ACCEPTED' },
}

/** The status after `move`. Throws `PaymentError` `wrong-state` when the document cannot make it. */
export function nextStatus(
  document: Pick<PaymentDocument, 'kind' | 'id' | 'status'>,
  move: DocumentMove,
): DocumentStatus {
  const { from, to } = MOVES[move]
  if (from.includes(document.status)) return to
  const { kind, id, status } = document
  const message = `${nounOf(kind)} ${id} is ${status.toLowerCase()}; only ${from.join(', ').toLowerCase()} ones can ${move}`
  throw new PaymentError('wrong-state', message, { kind, id, status, move })
}

/** Accepted or beyond: the money is promised. */
export const isPromised = (status: DocumentStatus): boolean => status === 'ACCEPTED' || status === 'SETTLED'

export const nounOf = (kind: DocumentKind): string => (kind === 'invoice' ? 'Invoice' : 'Debit note')

/** The other party. */
export function peerOf(document: PaymentDocument): NodeId {
  return document.role === 'provider' ? document.recipientId : document.issuerId
}

export function toDebitNote(document: PaymentDocument): DebitNote {
  return {
    debitNoteId: document.id,
    ...partiesOf(document),
    previousDebitNoteId: document.previousId,
    activityId: document.activityId ?? '',
    totalAmountDue: document.amountWei,
    usageCounterVector: document.usage,
    paymentDueDate: document.dueUs,
  }
}

export function toInvoice(document: PaymentDocument): Invoice {
  return {
    invoiceId: document.id,
    ...partiesOf(document),
    activityIds: [...document.activityIds],
    amount: document.amountWei,
    paymentDueDate: document.dueUs ?? document.timestampUs,
  }
}

function partiesOf(document: PaymentDocument) {
  return {
    issuerId: document.issuerId,
    recipientId: document.recipientId,
    payeeAddr: document.payeeAddr,
    payerAddr: document.payerAddr,
    paymentPlatform: document.platform,
    timestamp: document.timestampUs,
    agreementId: document.agreementId,
    status: document.status,
  }
}

/** True when both say the same; the status is each side's own. */
export function isSameDocument(a: PaymentDocument, b: PaymentDocument): boolean {
  return contentOf(a) === contentOf(b)
}

function contentOf(document: PaymentDocument): string {
  const { status: _status, amountWei, ...rest } = document
  return JSON.stringify({ ...rest, amountWei: `${amountWei}` }, (_key, value) => sorted(value))
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
