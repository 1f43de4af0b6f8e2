/** What clients see of the books. */
import {
  type BatchOrder,
  type BatchOrderItem,
  type BatchOrderItemDetail,
  type ChainedDebitNote,
  type DebitNoteEvent,
  type InvoiceEvent,
  type NodeId,
  type PayActivity,
  type PayAgreement,
  parseNodeId,
  rejectionSchema,
  type SignedPayment,
} from '@emet/core'
import type { Context } from './context.ts'
import { toDebitNote, toInvoice } from './document.ts'
import type { DriverStatus } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { toPayment } from './paying.ts'
import type {
  ActivityTotals,
  AgreementTotals,
  BatchOrder as BatchRecord,
  DocumentEvent,
  Obligation,
  PaymentOrderRecord,
  PaymentRecord,
  Sums,
} from './records.ts'
import { withoutAllocations } from './signing.ts'
import type { Page, Sheets } from './types.ts'

export function toInvoiceEvent(event: DocumentEvent): InvoiceEvent {
  const base = { invoiceId: event.documentId, eventDate: event.atUs }
  switch (event.type) {
    case 'RECEIVED':
      return { eventType: 'InvoiceReceivedEvent', ...base }
    case 'ACCEPTED':
      return { eventType: 'InvoiceAcceptedEvent', ...base }
    case 'REJECTED':
      return { eventType: 'InvoiceRejectedEvent', ...base, rejection: rejectionSchema.parse(event.details) }
    case 'CANCELLED':
      return { eventType: 'InvoiceCancelledEvent', ...base }
    case 'SETTLED':
      return { eventType: 'InvoiceSettledEvent', ...base }
    case 'PAYMENT_EVENT':
      return { eventType: 'InvoicePaymentStatusEvent', ...base, property: event.details as DriverStatus }
    case 'PAYMENT_OK':
      return { eventType: 'InvoicePaymentOkEvent', ...base }
  }
}

export function toDebitNoteEvent(event: DocumentEvent): DebitNoteEvent {
  const base = { debitNoteId: event.documentId, eventDate: event.atUs }
  switch (event.type) {
    case 'RECEIVED':
      return { eventType: 'DebitNoteReceivedEvent', ...base }
    case 'ACCEPTED':
      return { eventType: 'DebitNoteAcceptedEvent', ...base }
    case 'REJECTED':
      return { eventType: 'DebitNoteRejectedEvent', ...base, rejection: rejectionSchema.parse(event.details) }
    case 'CANCELLED':
      return { eventType: 'DebitNoteCancelledEvent', ...base }
    case 'SETTLED':
      return { eventType: 'DebitNoteSettledEvent', ...base }
    case 'PAYMENT_EVENT':
      return { eventType: 'DebitNotePaymentStatusEvent', ...base, property: event.details as DriverStatus }
    case 'PAYMENT_OK':
      return { eventType: 'DebitNotePaymentOkEvent', ...base }
  }
}

/**
 * The timestamp is when this node recorded the payment: clients use it as their cursor. What the payer signed is in
 * `signedBytes`.
 */
export function toSignedPayment(payment: PaymentRecord): SignedPayment {
  return {
    ...withoutAllocations(toPayment(payment)),
    timestamp: payment.recordedUs,
    signature: payment.signature,
    signedBytes: payment.signedBytes,
  }
}

export function toOrderItem(order: PaymentOrderRecord): BatchOrderItem {
  return {
    orderId: order.batchId,
    ownerId: order.owner,
    payeeAddr: order.payeeAddr,
    allocationId: order.allocationId,
    amount: order.amountWei,
    paymentId: order.paymentId ?? null,
    paid: order.paymentId !== undefined,
  }
}

export function toBatchOrder({ store }: Context, batch: BatchRecord): BatchOrder {
  const paid = store.orders.ordersOf(batch.id).filter(({ paymentId }) => paymentId !== undefined)
  return {
    id: batch.id,
    createdTs: batch.createdUs,
    updatedTs: batch.updatedUs,
    ownerId: batch.owner,
    payerAddr: batch.payerAddr,
    platform: batch.platform,
    totalAmount: batch.totalWei,
    paidAmount: paid.reduce((sum, { amountWei }) => sum + amountWei, 0n),
  }
}

/** What the transfers to one payee of a batch are for. */
export function itemDetails(context: Context, batchId: string, payee: string): BatchOrderItemDetail[] {
  const address = parseNodeId(payee)
  return context.store.orders
    .ordersOf(batchId)
    .filter(({ payeeAddr }) => payeeAddr === address)
    .flatMap(({ id }) => context.store.orders.obligationsOf(id))
    .map((obligation) => toDetail(context, obligation))
}

/** Obligations that have been ordered. */
function orderedDetails(
  context: Context,
  owner: NodeId,
  agreementId: string,
  activityId?: string,
): BatchOrderItemDetail[] {
  return context.store.orders
    .obligationsOfAgreement(owner, agreementId)
    .filter((o) => o.orderId !== undefined && (activityId === undefined || o.activityId === activityId))
    .map((obligation) => toDetail(context, obligation))
}

function toDetail({ store }: Context, obligation: Obligation): BatchOrderItemDetail {
  const { owner, agreementId, activityId, orderId, payeeAddr, allocationId, amountWei } = obligation
  const order = orderId === undefined ? undefined : store.orders.order(orderId)
  const [invoice] =
    activityId === undefined ? store.documents.ofAgreement(owner, 'requestor', 'invoice', agreementId) : []
  const [note] = activityId === undefined ? [] : store.documents.debitNotes(owner, 'requestor', activityId, 1)
  return {
    orderId: order?.batchId ?? '',
    ownerId: owner,
    payeeAddr,
    allocationId,
    agreementId,
    invoiceId: invoice?.id ?? null,
    activityId: activityId ?? null,
    debitNoteId: note?.id ?? null,
    amount: amountWei,
  }
}

const sumsOf = (sums: Sums) => ({
  totalAmountDue: sums.dueWei,
  totalAmountAccepted: sums.acceptedWei,
  totalAmountScheduled: sums.scheduledWei,
  totalAmountPaid: sums.paidWei,
})

function toPayAgreement(agreement: AgreementTotals): PayAgreement {
  return {
    id: agreement.agreementId,
    ownerId: agreement.owner,
    role: agreement.role === 'provider' ? 'P' : 'R',
    peerId: agreement.peerId,
    payeeAddr: agreement.payeeAddr,
    payerAddr: agreement.payerAddr,
    paymentPlatform: agreement.platform,
    ...sumsOf(agreement),
    appSessionId: agreement.appSessionId ?? null,
    createdTs: agreement.createdUs,
    updatedTs: agreement.updatedUs,
  }
}

function toPayActivity({ store }: Context, activity: ActivityTotals): PayActivity {
  const agreement = store.totals.agreement(activity.owner, activity.role, activity.agreementId)
  if (!agreement) throw new TypeError(`activity ${activity.activityId} has no agreement in the books`)
  return {
    id: activity.activityId,
    ownerId: activity.owner,
    role: activity.role === 'provider' ? 'P' : 'R',
    agreementId: activity.agreementId,
    ...sumsOf(activity),
    createdTs: activity.createdUs,
    updatedTs: activity.updatedUs,
    peerId: agreement.peerId,
    payeeAddr: agreement.payeeAddr,
    payerAddr: agreement.payerAddr,
  }
}

export function createSheets(context: Context): Sheets {
  const { store } = context
  const agreementOf = (owner: NodeId, id: string) =>
    store.totals.agreement(owner, 'provider', id) ?? store.totals.agreement(owner, 'requestor', id)
  const activityOf = (owner: NodeId, id: string): ActivityTotals => {
    const found = store.totals.activity(owner, 'provider', id) ?? store.totals.activity(owner, 'requestor', id)
    if (found) return found
    throw new PaymentError('not-found', 'Activity not found', { activityId: id })
  }
  return {
    agreements: (owner, page) => paged(store.totals.agreements(owner), page).map(toPayAgreement),
    agreement: (owner, id) => {
      const found = agreementOf(owner, id)
      return found && toPayAgreement(found)
    },
    agreementActivities: (owner, id) => {
      const found = agreementOf(owner, id)
      if (!found) return []
      return store.totals.activitiesOf(owner, found.role, id).map((activity) => toPayActivity(context, activity))
    },
    agreementOrders: (owner, id) => orderedDetails(context, owner, id),
    activities: (owner, page) =>
      paged(store.totals.activities(owner), page).map((activity) => toPayActivity(context, activity)),
    activity: (owner, id) => toPayActivity(context, activityOf(owner, id)),
    activityDebitNotes: (owner, id) => {
      const notes = store.documents.debitNotes(owner, activityOf(owner, id).role, id)
      return notes.map(
        (note, index): ChainedDebitNote => ({ ...toDebitNote(note), debitNonce: notes.length - 1 - index }),
      )
    },
    activityInvoice: (owner, id) => {
      const { role, agreementId } = activityOf(owner, id)
      const invoice = store.documents
        .ofAgreement(owner, role, 'invoice', agreementId)
        .filter(({ activityIds }) => activityIds.includes(id))
        .at(-1)
      return invoice && toInvoice(invoice)
    },
    activityOrders: (owner, id) => orderedDetails(context, owner, activityOf(owner, id).agreementId, id),
  }
}

function paged<T extends { readonly createdUs: number }>(items: readonly T[], { afterUs = -1, max }: Page = {}): T[] {
  return items.filter(({ createdUs }) => createdUs > afterUs).slice(0, max)
}
