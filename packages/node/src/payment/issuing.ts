/**
 * The provider's side of documents: issue, send and cancel; and what the requestor answers: accepted or rejected.
 * A document is written down before it is sent; sending it again changes nothing.
 */
import {
  type DocumentKind,
  formatAmount,
  type NewDebitNote,
  type NewInvoice,
  type NodeId,
  type Rejection,
} from '@emet/core'
import { anyOf } from './background.ts'
import { bookAccepted, bookDue, move, openActivity, openAgreement, settleIfPaid } from './book.ts'
import { type Context, newId } from './context.ts'
import { isPromised, nextStatus, nounOf, peerOf } from './document.ts'
import { PaymentError } from './errors.ts'
import { DOCUMENTS_PER_AGREEMENT_MAX } from './options.ts'
import { type PeerClient, peerError, refusalOf } from './peer-client.ts'
import type { PaymentDocument } from './records.ts'
import { checkParties, type Terms, termsOf } from './terms.ts'
import type { AgreementFacts, PeerOptions } from './types.ts'

export interface Issuing {
  debitNote(owner: NodeId, request: NewDebitNote): PaymentDocument
  invoice(owner: NodeId, request: NewInvoice): PaymentDocument
  send(owner: NodeId, kind: DocumentKind, id: string, options?: PeerOptions): Promise<void>
  cancel(owner: NodeId, kind: DocumentKind, id: string, options?: PeerOptions): Promise<void>
  /** A requestor says that it will pay. */
  onAccepted(caller: NodeId, issuer: NodeId, kind: DocumentKind, id: string, amountWei: bigint): void
  onRejected(caller: NodeId, issuer: NodeId, kind: DocumentKind, id: string, rejection: Rejection): void
}

/** How long a call to the requestor takes when the client does not say. */
const DOCUMENT_TIMEOUT_MS = 15_000

export function createIssuing(context: Context, client: PeerClient): Issuing {
  const { store, background } = context

  const mine = (owner: NodeId, kind: DocumentKind, id: string): PaymentDocument => {
    const found = store.documents.get({ owner, role: 'provider', id })
    if (found?.kind === kind) return found
    throw new PaymentError('not-found', `${nounOf(kind)} ${id} not found among those issued by ${owner}`, { kind, id })
  }
  /** The document that a requestor speaks of, if it may. */
  const addressed = (caller: NodeId, issuer: NodeId, kind: DocumentKind, id: string): PaymentDocument => {
    const document = mine(issuer, kind, id)
    if (caller === document.recipientId) return document
    throw new PaymentError('wrong-party', `${nounOf(kind)} ${id} is not for ${caller}`, { kind, id, caller })
  }

  return {
    debitNote: (owner, request) => issueDebitNote(context, owner, request),
    invoice: (owner, request) => issueInvoice(context, owner, request),
    send: async (owner, kind, id, { timeoutMs = DOCUMENT_TIMEOUT_MS, signal } = {}) => {
      const document = mine(owner, kind, id)
      if (document.status === 'CANCELLED') nextStatus(document, 'send')
      if (document.status !== 'ISSUED') return
      try {
        await client.send(document, { timeoutMs, signal: anyOf(signal, background.signal) })
      } catch (error) {
        throw peerError(error, peerOf(document), `${nounOf(kind).toLowerCase()} ${id}`)
      }
      store.transaction(() => {
        const now = mine(owner, kind, id)
        // An accept or a cancel may have overtaken the answer.
        if (now.status === 'ISSUED') move(context, now, 'send')
      })
    },
    cancel: async (owner, kind, id, { timeoutMs = DOCUMENT_TIMEOUT_MS, signal } = {}) => {
      const document = mine(owner, kind, id)
      if (document.status === 'CANCELLED') return
      nextStatus(document, 'cancel')
      try {
        await client.cancel(document, { timeoutMs, signal: anyOf(signal, background.signal) })
      } catch (error) {
        // The requestor never got it: then there is nothing to take back.
        if (refusalOf(error)?.kind !== 'ObjectNotFound') throw peerError(error, peerOf(document), `cancelling ${id}`)
      }
      store.transaction(() => {
        const now = mine(owner, kind, id)
        if (now.status !== 'CANCELLED') move(context, now, 'cancel')
      })
    },
    onAccepted: (caller, issuer, kind, id, amountWei) =>
      store.transaction(() => {
        const document = addressed(caller, issuer, kind, id)
        if (amountWei !== document.amountWei) {
          const [said, asked] = [formatAmount(amountWei), formatAmount(document.amountWei)]
          const message = `${nounOf(kind)} ${id} asks for ${asked}, not ${said}: it is accepted exactly or not at all`
          throw new PaymentError('amount-mismatch', message, { id })
        }
        if (isPromised(document.status)) return
        const accepted = move(context, document, 'accept')
        bookAccepted(context, accepted)
        settleIfPaid(context, accepted)
      }),
    onRejected: (caller, issuer, kind, id, rejection) =>
      store.transaction(() => {
        const document = addressed(caller, issuer, kind, id)
        if (document.status === 'REJECTED' || document.status === 'CANCELLED') return
        move(context, document, 'reject', rejectionJson(rejection))
      }),
  }
}

function issueDebitNote(context: Context, owner: NodeId, request: NewDebitNote): PaymentDocument {
  const { activityId, totalAmountDue, usageCounterVector, paymentDueDate } = request
  checkAmount('totalAmountDue', totalAmountDue)
  const agreementId = context.deps.activities.agreementOf(activityId)
  const facts = agreementId === undefined ? undefined : context.deps.agreements.get(agreementId, owner)
  if (!facts) throw new PaymentError('bad-request', `Activity not found: ${activityId}`, { activityId })
  const terms = issuerTerms(facts, owner)
  return context.store.transaction(() => {
    openAgreement(context, owner, 'provider', facts, terms)
    const { dueWei } = openActivity(context, owner, 'provider', activityId, facts.agreementId)
    if (totalAmountDue < dueWei) throw lowered('totalAmountDue', totalAmountDue, dueWei)
    const [previous] = context.store.documents.debitNotes(owner, 'provider', activityId, 1)
    return keep(context, {
      ...draft(context, owner, facts, terms),
      kind: 'debit-note',
      activityId,
      activityIds: [],
      previousId: previous?.id,
      amountWei: totalAmountDue,
      usage: usageCounterVector,
      dueUs: paymentDueDate,
    })
  })
}

function issueInvoice(context: Context, owner: NodeId, request: NewInvoice): PaymentDocument {
  const { agreementId, amount, paymentDueDate } = request
  checkAmount('amount', amount)
  const facts = context.deps.agreements.get(agreementId, owner)
  if (!facts) throw new PaymentError('bad-request', `Agreement not found: ${agreementId}`, { agreementId })
  const terms = issuerTerms(facts, owner)
  const activityIds = [...new Set(request.activityIds ?? [])]
  for (const id of activityIds) checkActivity(context, id, agreementId)
  return context.store.transaction(() => {
    const { dueWei } = openAgreement(context, owner, 'provider', facts, terms)
    if (amount < dueWei) throw lowered('amount', amount, dueWei)
    checkNoInvoice(context, owner, agreementId)
    const invoice = { kind: 'invoice', activityId: undefined, previousId: undefined, usage: undefined } as const
    return keep(context, {
      ...draft(context, owner, facts, terms),
      ...invoice,
      activityIds,
      amountWei: amount,
      dueUs: paymentDueDate,
    })
  })
}

/** Everything about a document but what it asks for. */
const draft = (context: Context, owner: NodeId, facts: AgreementFacts, terms: Terms) => ({
  ...terms,
  owner,
  role: 'provider' as const,
  id: newId(context),
  agreementId: facts.agreementId,
  issuerId: owner,
  recipientId: facts.requestorId,
  timestampUs: context.feed.tick(),
  status: 'ISSUED' as const,
})
function keep(context: Context, document: PaymentDocument): PaymentDocument {
  if (
    context.store.documents.count(document.owner, document.role, document.agreementId) >= DOCUMENTS_PER_AGREEMENT_MAX
  ) {
    throw new PaymentError(
      'bad-request',
      `agreement ${document.agreementId} has ${DOCUMENTS_PER_AGREEMENT_MAX} documents`,
    )
  }
  context.store.documents.insert(document)
  bookDue(context, document)
  return document
}

/** As it lies in an event. */
export function rejectionJson({ rejectionReason, totalAmountAccepted, message }: Rejection): unknown {
  return { rejectionReason, totalAmountAccepted: formatAmount(totalAmountAccepted), message }
}

function issuerTerms(facts: AgreementFacts, owner: NodeId): Terms {
  if (facts.providerId !== owner) {
    const message = `${owner} is not the provider of agreement ${facts.agreementId}: only the provider issues documents`
    throw new PaymentError('wrong-role', message, { agreementId: facts.agreementId })
  }
  checkParties(facts, { provider: owner, requestor: facts.requestorId })
  return termsOf(facts)
}

/** Golem: an agreement has one invoice; a cancelled one may be replaced. */
function checkNoInvoice(context: Context, owner: NodeId, agreementId: string): void {
  const other = context.store.documents
    .ofAgreement(owner, 'provider', 'invoice', agreementId)
    .find(({ status }) => status !== 'CANCELLED')
  if (!other) return
  const message = `agreement ${agreementId} has an invoice already: ${other.id} (${other.status.toLowerCase()})`
  throw new PaymentError('conflict', message, { agreementId, invoiceId: other.id })
}

function checkActivity({ deps }: Context, activityId: string, agreementId: string): void {
  if (deps.activities.agreementOf(activityId) === agreementId) return
  throw new PaymentError('bad-request', `Activity not found: ${activityId} in agreement ${agreementId}`, { activityId })
}

function checkAmount(field: string, amountWei: bigint): void {
  if (amountWei < 0n) throw new PaymentError('bad-request', `${field}: ${formatAmount(amountWei)} is negative`)
}

function lowered(field: string, amountWei: bigint, dueWei: bigint): PaymentError {
  const [asked, due] = [formatAmount(amountWei), formatAmount(dueWei)]
  const message = `${field}: ${asked} is lower than what is due already (${due}); totals cannot be lowered`
  return new PaymentError('amount-lowered', message, { asked, due })
}
