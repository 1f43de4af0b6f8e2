/** What this node says to other nodes' payment modules. Golem wire: calls to `/net/<nodeId>/payment/<message>`. */
import { type Bus, BusError, ReplyError } from '@emet/bus'
import { type AbortOptions, debitNoteSchema, invoiceSchema, messageOf, type NodeId } from '@emet/core'
import { z } from 'zod'
import { peerOf, toDebitNote, toInvoice } from './document.ts'
import { PaymentError } from './errors.ts'
import {
  acceptDebitNoteMessage,
  acceptInvoiceMessage,
  cancelDebitNoteMessage,
  cancelInvoiceMessage,
  type PaymentSyncMessage,
  rejectDebitNoteMessage,
  rejectInvoiceMessage,
  sendPaymentMessage,
} from './messages.ts'
import type { OutboxEntry, OutboxKind, PaymentDocument } from './records.ts'

export type CallPeerOptions = AbortOptions & { readonly timeoutMs: number }

export interface PeerClient {
  /** Sends a debit note or an invoice. */
  send(document: PaymentDocument, options: CallPeerOptions): Promise<void>
  cancel(document: PaymentDocument, options: CallPeerOptions): Promise<void>
  deliver(entry: OutboxEntry, options: CallPeerOptions): Promise<void>
  /** Everything in one message. */
  sync(owner: NodeId, peerId: NodeId, entries: readonly OutboxEntry[], options: CallPeerOptions): Promise<void>
  /** Asks a payer for what it has not told us. */
  askForSync(owner: NodeId, peerId: NodeId, options: CallPeerOptions): Promise<void>
}

/** Looks up what an outbox entry says, in its wire form. Undefined: it is gone, there is nothing to say any more. */
export type EntryBody = (entry: OutboxEntry) => Promise<Record<string, unknown> | undefined>

const MESSAGE_OF: Readonly<Record<OutboxKind, string>> = {
  'debit-note-accept': 'AcceptDebitNote',
  'debit-note-reject': 'RejectDebitNote',
  'invoice-accept': 'AcceptInvoice',
  'invoice-reject': 'RejectInvoiceV2',
  payment: 'SendPaymentWithBytes',
}

const SYNC_LIST_OF: Readonly<Record<OutboxKind, keyof PaymentSyncMessage>> = {
  'debit-note-accept': 'debit_note_accepts',
  'debit-note-reject': 'debit_note_rejects',
  'invoice-accept': 'invoice_accepts',
  'invoice-reject': 'invoice_rejects',
  payment: 'payments',
}

export function createPeerClient(bus: Bus, bodyOf: EntryBody): PeerClient {
  const call = async (owner: NodeId, peer: NodeId, message: string, body: unknown, options: CallPeerOptions) => {
    await bus.call(`/net/${peer}/payment/${message}`, body, { ...options, caller: { kind: 'local', nodeId: owner } })
  }
  return {
    send: async (document, options) => {
      const isInvoice = document.kind === 'invoice'
      const body = isInvoice
        ? z.encode(invoiceSchema, toInvoice(document))
        : z.encode(debitNoteSchema, toDebitNote(document))
      await call(document.owner, peerOf(document), isInvoice ? 'SendInvoice' : 'SendDebitNote', body, options)
    },
    cancel: async (document, options) => {
      const { owner, recipientId, id } = document
      const isInvoice = document.kind === 'invoice'
      const body = isInvoice
        ? z.encode(cancelInvoiceMessage, { invoiceId: id, recipientId })
        : z.encode(cancelDebitNoteMessage, { debitNoteId: id, recipientId })
      await call(owner, peerOf(document), isInvoice ? 'CancelInvoice' : 'CancelDebitNote', body, options)
    },
    deliver: async (entry, options) => {
      const body = await bodyOf(entry)
      if (body) await call(entry.owner, entry.peerId, MESSAGE_OF[entry.kind], body, options)
    },
    sync: async (owner, peerId, entries, options) => {
      const lists: Record<string, unknown[]> = {}
      for (const list of Object.values(SYNC_LIST_OF)) lists[list] = []
      for (const entry of entries) {
        const body = await bodyOf(entry)
        if (body) lists[SYNC_LIST_OF[entry.kind]]?.push(body)
      }
      await call(owner, peerId, 'PaymentSyncWithBytes', lists, options)
    },
    askForSync: (owner, peerId, options) => call(owner, peerId, 'PaymentSyncNeeded', null, options),
  }
}

/** The messages of accepts, rejects and payments, from what they are about. */
export const encodeMessage = {
  accept: (document: PaymentDocument): Record<string, unknown> => {
    const acceptance = { totalAmountAccepted: document.amountWei, allocationId: '' }
    const { id, issuerId } = document
    return document.kind === 'invoice'
      ? z.encode(acceptInvoiceMessage, { invoiceId: id, acceptance, issuerId })
      : z.encode(acceptDebitNoteMessage, { debitNoteId: id, acceptance, issuerId })
  },
  reject: (document: PaymentDocument, rejection: z.output<typeof rejectInvoiceMessage>['rejection']) => {
    const { id, issuerId } = document
    return document.kind === 'invoice'
      ? z.encode(rejectInvoiceMessage, { invoiceId: id, rejection, issuerId })
      : z.encode(rejectDebitNoteMessage, { debitNoteId: id, rejection, issuerId })
  },
  payment: (payment: z.output<typeof sendPaymentMessage>): Record<string, unknown> =>
    z.encode(sendPaymentMessage, payment),
}

/** Golem wire: errors a peer answers with; each holds one of these. */
const FINAL_REFUSALS = ['BadRequest', 'ObjectNotFound', 'Forbidden', 'Conflict']

/** What the peer said when it refused for good; undefined when trying again may help. */
export function refusalOf(error: unknown): { kind: string; text: string } | undefined {
  if (!(error instanceof ReplyError) || typeof error.data !== 'object' || error.data === null) return undefined
  for (const [kind, text] of Object.entries(error.data)) {
    if (FINAL_REFUSALS.includes(kind)) return { kind, text: String(text) }
  }
  return undefined
}

/** A failed call to a peer as the client of this node should see it. */
export function peerError(error: unknown, peerId: NodeId, what: string): PaymentError {
  if (error instanceof PaymentError) return error
  const refusal = refusalOf(error)
  const facts = { peerId, ...(refusal ? { refusal: refusal.kind } : {}) }
  if (refusal) {
    const code = refusal.kind === 'Conflict' ? 'wrong-state' : 'peer-refused'
    return new PaymentError(code, `${peerId} refused ${what}: ${refusal.text}`, facts, { cause: error })
  }
  if (error instanceof BusError && error.code === 'timeout') {
    return new PaymentError('peer-timeout', `${peerId} did not answer to ${what} in time`, facts, { cause: error })
  }
  const message = `${peerId} cannot be reached for ${what}: ${messageOf(error)}`
  return new PaymentError('peer-unreachable', message, facts, { cause: error })
}
