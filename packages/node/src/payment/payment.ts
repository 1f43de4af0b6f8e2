import {
  type DebitNote,
  type DebitNoteEvent,
  type DocumentKind,
  type Invoice,
  type InvoiceEvent,
  type NodeId,
  type PaymentEventKind,
  rejectionSchema,
  type SignedPayment,
  type Unregister,
} from '@emet/core'
import { type Accepting, createAccepting } from './accepting.ts'
import { createAccounts } from './accounts.ts'
import { createAllocations } from './allocations.ts'
import { createBackground } from './background.ts'
import { createBatches } from './batches.ts'
import { createCaretaking } from './caretaking.ts'
import { createCollecting } from './collecting.ts'
import type { Context } from './context.ts'
import { createDelivery } from './delivery.ts'
import { nounOf, toDebitNote, toInvoice } from './document.ts'
import { PaymentError } from './errors.ts'
import { createFeed } from './feed.ts'
import { createIssuing, type Issuing } from './issuing.ts'
import { type PaymentOptionsInput, paymentOptionsSchema } from './options.ts'
import { createPaying, toPayment } from './paying.ts'
import { createPeerClient, type EntryBody, encodeMessage } from './peer-client.ts'
import { bindPayment } from './protocol.ts'
import type { DocumentEvent, OutboxEntry, PaymentDocument } from './records.ts'
import { signPayment, withoutAllocations } from './signing.ts'
import { createPaymentStore } from './store.ts'
import type { Documents, PaymentDeps, PaymentService, Payments } from './types.ts'
import { createSheets, toDebitNoteEvent, toInvoiceEvent, toSignedPayment } from './views.ts'

/** Golem REST: what is told of when a client names no kinds. */
const REQUESTOR_KINDS: readonly PaymentEventKind[] = ['RECEIVED', 'CANCELLED']
const PROVIDER_KINDS: readonly PaymentEventKind[] = ['ACCEPTED', 'REJECTED', 'SETTLED', 'CANCELLED']

/** Makes the payment module. `given` are options by name; see `paymentOptionsSchema`. Starts and stops the drivers. */
export function createPayment(deps: PaymentDeps, given: PaymentOptionsInput = {}): PaymentService {
  const options = paymentOptionsSchema.parse(given)
  const store = createPaymentStore(deps.db)
  const background = createBackground(deps.logger)
  const feed = createFeed(store, deps.clock)
  const context: Context = { deps, options, store, feed, background }
  const client = createPeerClient(deps.bus, entryBody(context))
  const delivery = createDelivery(context, client)
  const allocations = createAllocations(context)
  const paying = createPaying(context, { allocations, delivery })
  const accepting = createAccepting(context, { allocations, delivery, onPayable: paying.wake })
  const issuing = createIssuing(context, client)
  const collecting = createCollecting(context)
  const caretaking = createCaretaking(context, client)
  const undo: Unregister[] = []

  const onSyncNeeded = (caller: NodeId) => {
    for (const owner of deps.signer.ids()) {
      if (store.outbox.of(owner, caller, 1).length > 0) delivery.syncNow(owner, caller)
    }
  }
  const start = async () => {
    undo.push(bindPayment(deps.bus, { issuing, accepting, collecting, onSyncNeeded, logger: deps.logger }))
    for (const driver of deps.drivers) {
      undo.push(driver.onSettled((settlement) => paying.onSettled(driver, settlement)))
      undo.push(driver.onStatusChanged((status) => caretaking.onDriverStatus(driver, status)))
    }
    for (const driver of deps.drivers) await driver.start()
    for (const part of [allocations, paying, delivery, collecting, caretaking]) part.resume()
  }
  const stop = async () => {
    for (const step of undo.splice(0)) step()
    for (const part of [caretaking, collecting, delivery, paying, allocations]) part.stop()
    feed.close()
    await background.stop()
    await Promise.all(deps.drivers.map((driver) => driver.stop()))
  }

  const parts = { context, issuing, accepting }
  return {
    allocations,
    debitNotes: documentsOf<DebitNote, DebitNoteEvent>(
      parts,
      'debit-note',
      toDebitNote,
      toDebitNoteEvent,
      issuing.debitNote,
    ),
    invoices: documentsOf<Invoice, InvoiceEvent>(parts, 'invoice', toInvoice, toInvoiceEvent, issuing.invoice),
    payments: createPayments(context),
    batches: createBatches(context, paying),
    sheets: createSheets(context),
    accounts: createAccounts(context, allocations),
    start,
    stop,
  }
}

type DocumentParts = { readonly context: Context; readonly issuing: Issuing; readonly accepting: Accepting }

function documentsOf<Doc, Event, New = never>(
  { context, issuing, accepting }: DocumentParts,
  kind: DocumentKind,
  toDoc: (document: PaymentDocument) => Doc,
  toEvent: (event: DocumentEvent) => Event,
  issue: (owner: NodeId, request: New) => PaymentDocument,
): Documents<New, Doc, Event> {
  const { store, feed } = context
  return {
    list: (owner, { afterUs, max } = {}) => store.documents.list(owner, kind, afterUs, max).map(toDoc),
    get: (owner, id) => {
      const found = store.documents.find(owner, kind, id)
      if (found) return toDoc(found)
      throw new PaymentError('not-found', `${nounOf(kind)} ${id} not found`, { kind, id })
    },
    issue: (owner, request) => toDoc(issue(owner, request)),
    send: (owner, id, options) => issuing.send(owner, kind, id, options),
    cancel: (owner, id, options) => issuing.cancel(owner, kind, id, options),
    accept: (owner, id, acceptance, options) => accepting.accept(owner, kind, id, acceptance, options),
    reject: (owner, id, rejection, options) => accepting.reject(owner, kind, id, rejection, options),
    events: async (owner, { afterUs, max, appSessionId, requestorKinds, providerKinds, ...wait }) => {
      const query = {
        ...{ owner, kind, max, appSessionId },
        afterUs: afterUs ?? -1,
        requestorTypes: requestorKinds ?? REQUESTOR_KINDS,
        providerTypes: providerKinds ?? PROVIDER_KINDS,
      }
      return (await feed.poll(() => store.events.query(query), wait)).map(toEvent)
    },
  }
}

function createPayments(context: Context): Payments {
  const { store, feed, deps } = context
  const checkNames = (driver: string | undefined, network: string | undefined) => {
    const drivers = deps.drivers.filter(({ name }) => driver === undefined || name === driver)
    const isKnown = drivers.some((d) => network === undefined || d.networks().some(({ name }) => name === network))
    if (!isKnown)
      throw new PaymentError('bad-platform', `unknown payment driver or network: ${driver ?? '*'}-${network ?? '*'}`)
  }
  return {
    poll: async (owner, { afterUs, max, appSessionId, driver, network, ...wait }) => {
      checkNames(driver, network)
      const isWanted = (payment: SignedPayment): boolean => {
        const [ofDriver, ofNetwork] = payment.paymentPlatform.split('-')
        return (driver ?? ofDriver) === ofDriver && (network ?? ofNetwork) === ofNetwork
      }
      const query = () =>
        store.payments
          .list(owner, afterUs ?? -1, appSessionId, undefined)
          .map(toSignedPayment)
          .filter(isWanted)
          .slice(0, max)
      return feed.poll(query, wait)
    },
    get: (owner, id) => {
      const found = store.payments.find(owner, id)
      if (found) return toSignedPayment(found)
      throw new PaymentError('not-found', `Payment ${id} not found`, { paymentId: id })
    },
    ofInvoice: (owner, invoiceId) => {
      const invoice = store.documents.find(owner, 'invoice', invoiceId)
      if (!invoice) throw new PaymentError('not-found', `Invoice ${invoiceId} not found`, { invoiceId })
      return store.payments.ofAgreement(owner, invoice.agreementId).map(toSignedPayment)
    },
    ofDebitNote: (owner, debitNoteId) => {
      const note = store.documents.find(owner, 'debit-note', debitNoteId)
      if (!note) throw new PaymentError('not-found', `Debit note ${debitNoteId} not found`, { debitNoteId })
      return store.payments
        .ofAgreement(owner, note.agreementId)
        .filter(({ shares }) => shares.some(({ activityId }) => activityId === note.activityId))
        .map(toSignedPayment)
    },
  }
}

/** What an outbox entry says to the peer. A payment is signed when it is first told of, and the signature kept. */
function entryBody(context: Context): EntryBody {
  const { store, deps } = context
  const paymentBody = async ({ owner, ref }: OutboxEntry) => {
    const record = store.payments.get(owner, 'requestor', ref)
    if (!record) return undefined
    const payment = withoutAllocations(toPayment(record))
    const { signature, signedBytes } = record
    if (signature && signedBytes) return encodeMessage.payment({ ...payment, signature, signed_bytes: signedBytes })
    const signed = await signPayment(deps.signer, payment)
    store.payments.setSignature(owner, ref, signed.signature, signed.signedBytes)
    return encodeMessage.payment({ ...payment, signature: signed.signature, signed_bytes: signed.signedBytes })
  }
  return async (entry) => {
    if (entry.kind === 'payment') return paymentBody(entry)
    const document = store.documents.get({ owner: entry.owner, role: 'requestor', id: entry.ref })
    if (!document) return undefined
    const isAccept = entry.kind === 'invoice-accept' || entry.kind === 'debit-note-accept'
    return isAccept
      ? encodeMessage.accept(document)
      : encodeMessage.reject(document, rejectionSchema.parse(entry.details))
  }
}
