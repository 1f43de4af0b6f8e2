/**
 * The requestor's side of documents: what a provider sends is checked and stored; accepting takes the money out of an
 * allocation and makes it an obligation, in one transaction with the news for the provider.
 */
import {
  type Acceptance,
  type DebitNote,
  type DocumentKind,
  formatAmount,
  type Invoice,
  type NodeId,
  parseNodeId,
  type Rejection,
} from '@emet/core'
import type { AllocationService } from './allocations.ts'
import {
  announce,
  bookAccepted,
  bookDue,
  move,
  openActivity,
  openAgreement,
  settleIfPaid,
  unacceptedWei,
} from './book.ts'
import { type Context, isOurs, nowUs } from './context.ts'
import type { Delivery } from './delivery.ts'
import { isPromised, isSameDocument, nextStatus, nounOf, peerOf } from './document.ts'
import { PaymentError } from './errors.ts'
import { rejectionJson } from './issuing.ts'
import {
  DOCUMENTS_PER_AGREEMENT_MAX,
  PEER_ID_LENGTH_MAX,
  REJECTION_MESSAGE_LENGTH_MAX,
  USAGE_BYTES_MAX,
} from './options.ts'
import type { OutboxEntry, PaymentDocument } from './records.ts'
import { checkParties, type Terms, termsOf } from './terms.ts'
import type { AgreementFacts, PeerOptions } from './types.ts'

export interface Accepting {
  accept(owner: NodeId, kind: DocumentKind, id: string, acceptance: Acceptance, options?: PeerOptions): Promise<void>
  reject(owner: NodeId, kind: DocumentKind, id: string, rejection: Rejection, options?: PeerOptions): Promise<void>
  onDebitNote(caller: NodeId, debitNote: DebitNote): void
  onInvoice(caller: NodeId, invoice: Invoice): void
  onCancelled(caller: NodeId, recipient: NodeId, kind: DocumentKind, id: string): void
}

export type AcceptingParts = {
  readonly allocations: AllocationService
  readonly delivery: Delivery
  /** Something may have become payable. */
  readonly onPayable: () => void
}

export function createAccepting(context: Context, { allocations, delivery, onPayable }: AcceptingParts): Accepting {
  const { store } = context

  const received = (owner: NodeId, kind: DocumentKind, id: string): PaymentDocument => {
    const found = store.documents.get({ owner, role: 'requestor', id })
    if (found?.kind === kind) return found
    throw new PaymentError('not-found', `${nounOf(kind)} ${id} not found among those received by ${owner}`, {
      kind,
      id,
    })
  }

  /** The whole decision, in one transaction. Undefined: there was nothing left to decide. */
  const decide = (document: PaymentDocument, acceptance: Acceptance): OutboxEntry | undefined => {
    if (acceptance.totalAmountAccepted !== document.amountWei) throw inexact(document, acceptance)
    if (isPromised(document.status) || isSuperseded(context, document)) return undefined
    nextStatus(document, 'accept')
    const moreWei = unacceptedWei(context, document)
    if (moreWei < 0n && document.kind === 'invoice') throw lessThanAccepted(document, -moreWei)
    if (moreWei > 0n) promise(document, acceptance.allocationId, moreWei)
    letPay(document)
    const accepted = move(context, document, 'accept')
    bookAccepted(context, accepted)
    settleIfPaid(context, accepted)
    return delivery.enqueue(newsAbout(document, 'accept'))
  }
  const promise = (document: PaymentDocument, allocationId: string, amountWei: bigint) => {
    allocations.spend(document.owner, allocationId, { ...document, amountWei })
    const { owner, platform, payeeAddr, payerAddr, agreementId, activityId } = document
    store.orders.addObligation({
      ...{ owner, platform, payeeAddr, payerAddr, agreementId, activityId, allocationId, amountWei },
      payeeId: document.issuerId,
      isPayable: false,
      dueUs: undefined,
      createdUs: nowUs(context),
    })
  }
  /** Golem: an invoice lets the whole agreement be paid; a debit note with a due date lets its activity be paid. */
  const letPay = ({ kind, owner, agreementId, activityId, dueUs }: PaymentDocument) => {
    if (kind === 'invoice' || dueUs !== undefined) store.orders.makePayable(owner, agreementId, activityId, dueUs)
  }

  return {
    accept: async (owner, kind, id, acceptance, options) => {
      const entry = store.transaction(() => decide(received(owner, kind, id), acceptance))
      if (!entry) return
      onPayable()
      await delivery.deliver(entry, options)
    },
    reject: async (owner, kind, id, rejection, options) => {
      checkRejection(rejection)
      const entry = store.transaction(() => {
        const document = received(owner, kind, id)
        if (document.status === 'REJECTED') return undefined
        move(context, document, 'reject', rejectionJson(rejection))
        return delivery.enqueue({ ...newsAbout(document, 'reject'), details: rejectionJson(rejection) })
      })
      if (entry) await delivery.deliver(entry, options)
    },
    onDebitNote: (caller, debitNote) => receiveDebitNote(context, caller, debitNote),
    onInvoice: (caller, invoice) => receiveInvoice(context, caller, invoice),
    onCancelled: (caller, recipient, kind, id) =>
      store.transaction(() => {
        const document = received(recipient, kind, id)
        if (caller !== document.issuerId) {
          throw new PaymentError('wrong-party', `${nounOf(kind)} ${id} was not issued by ${caller}`, { id, caller })
        }
        if (document.status !== 'CANCELLED') move(context, document, 'cancel')
      }),
  }
}

function receiveDebitNote(context: Context, caller: NodeId, debitNote: DebitNote): void {
  const { store, deps } = context
  const document = toDocument(debitNote, {
    kind: 'debit-note',
    id: debitNote.debitNoteId,
    activityId: debitNote.activityId,
    activityIds: [],
    previousId: debitNote.previousDebitNoteId,
    amountWei: debitNote.totalAmountDue,
    usage: usageOf(debitNote.usageCounterVector),
    dueUs: debitNote.paymentDueDate,
  })
  const { facts, terms } = checkOrigin(context, caller, document)
  if (deps.activities.agreementOf(debitNote.activityId) !== document.agreementId) {
    throw foreignActivity(debitNote.activityId, document.agreementId)
  }
  store.transaction(() => {
    if (isRepeated(context, document)) return
    openAgreement(context, document.owner, 'requestor', facts, terms)
    const { dueWei } = openActivity(context, document.owner, 'requestor', debitNote.activityId, document.agreementId)
    const [latest] = store.documents.debitNotes(document.owner, 'requestor', debitNote.activityId, 1)
    // An older note may come late; a newer one never asks for less.
    const isNewest = !latest || latest.timestampUs <= document.timestampUs
    if (isNewest && document.amountWei < dueWei) throw loweredBy(document, dueWei)
    keep(context, document)
  })
}

function receiveInvoice(context: Context, caller: NodeId, invoice: Invoice): void {
  const { store, deps } = context
  const document = toDocument(invoice, {
    kind: 'invoice',
    id: invoice.invoiceId,
    activityId: undefined,
    activityIds: invoice.activityIds,
    previousId: undefined,
    amountWei: invoice.amount,
    usage: undefined,
    dueUs: invoice.paymentDueDate,
  })
  const { facts, terms } = checkOrigin(context, caller, document)
  for (const id of invoice.activityIds) {
    if (deps.activities.agreementOf(id) !== document.agreementId) throw foreignActivity(id, document.agreementId)
  }
  store.transaction(() => {
    if (isRepeated(context, document)) return
    const { dueWei } = openAgreement(context, document.owner, 'requestor', facts, terms)
    if (document.amountWei < dueWei) throw loweredBy(document, dueWei)
    const other = invoicesOf(context, document).find(({ status }) => status !== 'CANCELLED')
    if (other) {
      const message = `agreement ${document.agreementId} has another invoice already: ${other.id}`
      throw new PaymentError('conflict', message, { id: document.id, otherId: other.id })
    }
    keep(context, document)
  })
}

/** A provider's document as the requestor keeps it. */
function toDocument(
  wire: DebitNote | Invoice,
  own: Pick<
    PaymentDocument,
    'kind' | 'id' | 'activityId' | 'activityIds' | 'previousId' | 'amountWei' | 'usage' | 'dueUs'
  >,
): PaymentDocument {
  const ids = [own.id, wire.agreementId, own.activityId ?? '', own.previousId ?? '', ...own.activityIds]
  const tooLong = ids.find((id) => id.length > PEER_ID_LENGTH_MAX)
  if (tooLong !== undefined) {
    throw new PaymentError(
      'bad-request',
      `an id is longer than ${PEER_ID_LENGTH_MAX} characters: ${tooLong.slice(0, 50)}`,
    )
  }
  if (own.amountWei < 0n) {
    throw new PaymentError('bad-request', `${nounOf(own.kind)} ${own.id} asks for ${formatAmount(own.amountWei)}`)
  }
  const [payeeAddr, payerAddr] = [parseNodeId(wire.payeeAddr), parseNodeId(wire.payerAddr)]
  if (!payeeAddr || !payerAddr) {
    const bad = payeeAddr ? wire.payerAddr : wire.payeeAddr
    throw new PaymentError('wrong-address', `${nounOf(own.kind)} ${own.id}: not an address: ${bad.slice(0, 100)}`)
  }
  return {
    ...own,
    payeeAddr,
    payerAddr,
    owner: wire.recipientId,
    role: 'requestor',
    agreementId: wire.agreementId,
    issuerId: wire.issuerId,
    recipientId: wire.recipientId,
    platform: wire.paymentPlatform,
    timestampUs: wire.timestamp,
    status: 'RECEIVED',
  }
}

/** Who may send this, for which agreement, payable to whom: all of it must be as agreed. */
function checkOrigin(
  context: Context,
  caller: NodeId,
  document: PaymentDocument,
): { facts: AgreementFacts; terms: Terms } {
  const { kind, id, issuerId, owner, agreementId } = document
  const subject = `${nounOf(kind)} ${id}`
  if (caller !== issuerId) {
    throw new PaymentError('wrong-party', `${subject} was issued by ${issuerId}, but came from ${caller}`, {
      id,
      caller,
    })
  }
  const facts = isOurs(context, owner) ? context.deps.agreements.get(agreementId, owner) : undefined
  if (!facts) {
    throw new PaymentError('foreign-agreement', `${subject}: ${owner} has no agreement ${agreementId}`, {
      id,
      agreementId,
    })
  }
  checkParties(facts, { provider: issuerId, requestor: owner })
  const terms = termsOf(facts)
  if (document.platform !== terms.platform) {
    const message = `${subject} asks for payment on ${document.platform}; agreed was ${terms.platform}`
    throw new PaymentError('wrong-platform', message, { id })
  }
  if (document.payeeAddr !== terms.payeeAddr || document.payerAddr !== terms.payerAddr) {
    const message = `${subject} asks ${document.payerAddr} to pay ${document.payeeAddr}; agreed was ${terms.payerAddr} to ${terms.payeeAddr}`
    throw new PaymentError('wrong-address', message, { id })
  }
  return { facts, terms }
}

/** True when the very same document was received before; throws when its id was used for another. */
function isRepeated(context: Context, document: PaymentDocument): boolean {
  const before = context.store.documents.get(document)
  if (!before) return false
  if (isSameDocument(before, document)) return true
  const message = `${nounOf(document.kind)} ${document.id} was received before with other contents`
  throw new PaymentError('conflict', message, { id: document.id })
}

function keep(context: Context, document: PaymentDocument): void {
  const { owner, role, agreementId } = document
  if (context.store.documents.count(owner, role, agreementId) >= DOCUMENTS_PER_AGREEMENT_MAX) {
    throw new PaymentError('too-many', `agreement ${agreementId} has ${DOCUMENTS_PER_AGREEMENT_MAX} documents already`)
  }
  context.store.documents.insert(document)
  bookDue(context, document)
  announce(context, document, 'RECEIVED')
}

/** Golem: once the invoice has been decided on, accepting a debit note of its agreement does nothing. */
function isSuperseded(context: Context, document: PaymentDocument): boolean {
  if (document.kind === 'invoice') return false
  return invoicesOf(context, document).some(({ status }) => status !== 'RECEIVED' && status !== 'FAILED')
}

function invoicesOf({ store }: Context, { owner, agreementId }: PaymentDocument): PaymentDocument[] {
  return store.documents.ofAgreement(owner, 'requestor', 'invoice', agreementId)
}

function newsAbout(document: PaymentDocument, what: 'accept' | 'reject'): Omit<OutboxEntry, 'id'> {
  const { owner, kind, id } = document
  return { owner, peerId: peerOf(document), kind: `${kind}-${what}`, ref: id, details: undefined }
}

/** Counters as JSON, bounded. Bytes and big numbers of other encodings are not counters. */
function usageOf(usage: unknown): unknown {
  if (usage === undefined) return undefined
  let text: string | undefined
  try {
    text = JSON.stringify(usage)
  } catch (cause) {
    throw new PaymentError('bad-request', 'usageCounterVector: not JSON', {}, { cause })
  }
  if (text === undefined || text.length > USAGE_BYTES_MAX) {
    throw new PaymentError('bad-request', `usageCounterVector: more than ${USAGE_BYTES_MAX} characters, or not JSON`)
  }
  return JSON.parse(text)
}

function checkRejection({ message, totalAmountAccepted }: Rejection): void {
  if (message !== undefined && message.length > REJECTION_MESSAGE_LENGTH_MAX) {
    throw new PaymentError('bad-request', `message: longer than ${REJECTION_MESSAGE_LENGTH_MAX} characters`)
  }
  if (totalAmountAccepted < 0n) throw new PaymentError('bad-request', 'totalAmountAccepted: negative')
}

function inexact({ kind, id, amountWei }: PaymentDocument, { totalAmountAccepted }: Acceptance): PaymentError {
  const [asked, given] = [formatAmount(amountWei), formatAmount(totalAmountAccepted)]
  const message = `Invalid amount accepted. Expected: ${asked} Actual: ${given} (${nounOf(kind)} ${id} is accepted in full or not at all)`
  return new PaymentError('amount-mismatch', message, { id, asked, given })
}

function lessThanAccepted({ id, amountWei }: PaymentDocument, excessWei: bigint): PaymentError {
  const [asked, accepted] = [formatAmount(amountWei), formatAmount(amountWei + excessWei)]
  const message = `Invoice ${id} asks for ${asked}, less than what was accepted for its agreement already (${accepted})`
  return new PaymentError('amount-lowered', message, { id, asked, accepted })
}

function loweredBy({ kind, id, amountWei }: PaymentDocument, dueWei: bigint): PaymentError {
  const [asked, due] = [formatAmount(amountWei), formatAmount(dueWei)]
  const message = `${nounOf(kind)} ${id} asks for ${asked}, less than what was due before (${due}); totals cannot be lowered`
  return new PaymentError('amount-lowered', message, { id, asked, due })
}

function foreignActivity(activityId: string, agreementId: string): PaymentError {
  const message = `activity ${activityId} is none of agreement ${agreementId}`
  return new PaymentError('foreign-activity', message, { activityId, agreementId })
}
