/** A document in its forms: as it is kept, and as clients and peers see it. Its states are core's. */
import {
  type DebitNote,
  type DocumentKind,
  type DocumentMove,
  type DocumentStatus,
  type Invoice,
  type NodeId,
  StateError,
  transitionDocument,
} from '@emet/core'
import { PaymentError } from './errors.ts'
import type { PaymentDocument } from './records.ts'

/** The status after `move`. Throws `PaymentError` `wrong-state` when the document cannot make it. */
export function nextStatus(
  { kind, id, status }: Pick<PaymentDocument, 'kind' | 'id' | 'status'>,
  move: DocumentMove,
): DocumentStatus {
  try {
    return transitionDocument(kind, status, move)
  } catch (cause) {
    if (!(cause instanceof StateError)) throw cause
    const legalIn = String(cause.facts['legalIn']).toLowerCase().replaceAll(',', ', ')
    const message = `${nounOf(kind)} ${id} is ${status.toLowerCase()}; only ${legalIn} ones can ${move}`
    throw new PaymentError('wrong-state', message, { kind, id, status, move }, { cause })
  }
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
