/**
 * What other nodes may say to this one's payment module. Golem wire: `/public/payment/<message>`; every success is an
 * empty map. The caller is proven by the transport; who it is decides what it may do, not what it writes.
 *
 * All peers are taken to be Emet nodes: debit notes may be rejected and cancelled, which the original cannot take.
 */
import { type Bus, type BusCall, ReplyError } from '@emet/bus'
import { type Logger, messageOf, type NodeId, type Unregister } from '@emet/core'
import type { z } from 'zod'
import type { Accepting } from './accepting.ts'
import type { Collecting } from './collecting.ts'
import { PaymentError, type PaymentErrorCode } from './errors.ts'
import type { Issuing } from './issuing.ts'
import {
  acceptDebitNoteMessage,
  acceptInvoiceMessage,
  cancelDebitNoteMessage,
  cancelInvoiceMessage,
  type PaymentSyncMessage,
  paymentSyncMessage,
  rejectDebitNoteMessage,
  rejectInvoiceMessage,
  type SendPaymentMessage,
  sendDebitNoteMessage,
  sendInvoiceMessage,
  sendPaymentMessage,
} from './messages.ts'

export type ProtocolParts = {
  readonly issuing: Issuing
  readonly accepting: Accepting
  readonly collecting: Collecting
  /** The peer asks for everything it has not been told. */
  readonly onSyncNeeded: (caller: NodeId) => void
  readonly logger: Logger
}

const ACK = {}

/** Golem wire: which errors each sort of message may answer with. */
type ErrorSort = 'send' | 'decide' | 'cancel'

type Answer<M> = (caller: NodeId, message: M, call: BusCall) => void | Promise<void>

/** Binds every message. Returns what undoes it. */
export function bindPayment(bus: Bus, parts: ProtocolParts): Unregister {
  const { issuing, accepting, collecting } = parts
  const undo: Unregister[] = []
  const on = <S extends z.ZodType>(name: string, schema: S, sort: ErrorSort, answer: Answer<z.output<S>>) => {
    const handler = async (call: BusCall) => {
      try {
        await answer(callerOf(call), parse(schema, call), call)
        return ACK
      } catch (error) {
        throw replyOf(parts.logger, name, sort, error)
      }
    }
    undo.push(bus.bind(`/public/payment/${name}`, handler))
  }

  on('SendDebitNote', sendDebitNoteMessage, 'send', accepting.onDebitNote)
  on('SendInvoice', sendInvoiceMessage, 'send', accepting.onInvoice)
  on('CancelInvoice', cancelInvoiceMessage, 'cancel', (caller, { recipientId, invoiceId }) =>
    accepting.onCancelled(caller, recipientId, 'invoice', invoiceId),
  )
  on('CancelDebitNote', cancelDebitNoteMessage, 'cancel', (caller, { recipientId, debitNoteId }) =>
    accepting.onCancelled(caller, recipientId, 'debit-note', debitNoteId),
  )
  on('AcceptDebitNote', acceptDebitNoteMessage, 'decide', acceptDebitNote(issuing))
  on('AcceptInvoice', acceptInvoiceMessage, 'decide', acceptInvoice(issuing))
  on('RejectDebitNote', rejectDebitNoteMessage, 'decide', rejectDebitNote(issuing))
  on('RejectInvoiceV2', rejectInvoiceMessage, 'decide', rejectInvoice(issuing))
  on('SendPaymentWithBytes', sendPaymentMessage, 'send', receivePayment(collecting))
  undo.push(bindSync(bus, parts))
  return () => {
    for (const step of undo) step()
  }
}

const acceptDebitNote =
  (issuing: Issuing): Answer<z.output<typeof acceptDebitNoteMessage>> =>
  (caller, { debitNoteId, acceptance, issuerId }) =>
    issuing.onAccepted(caller, issuerId, 'debit-note', debitNoteId, acceptance.totalAmountAccepted)

const acceptInvoice =
  (issuing: Issuing): Answer<z.output<typeof acceptInvoiceMessage>> =>
  (caller, { invoiceId, acceptance, issuerId }) =>
    issuing.onAccepted(caller, issuerId, 'invoice', invoiceId, acceptance.totalAmountAccepted)

const rejectDebitNote =
  (issuing: Issuing): Answer<z.output<typeof rejectDebitNoteMessage>> =>
  (caller, { debitNoteId, rejection, issuerId }) =>
    issuing.onRejected(caller, issuerId, 'debit-note', debitNoteId, rejection)

const rejectInvoice =
  (issuing: Issuing): Answer<z.output<typeof rejectInvoiceMessage>> =>
  (caller, { invoiceId, rejection, issuerId }) =>
    issuing.onRejected(caller, issuerId, 'invoice', invoiceId, rejection)

const receivePayment =
  (collecting: Collecting): Answer<SendPaymentMessage> =>
  (caller, { signature, signed_bytes: signedBytes, ...payment }, { signal }) =>
    collecting.onPayment(caller, payment, { signature, signedBytes }, signal)

/** Golem wire: the errors of a sync are lists; what is not in them was taken. */
type SyncErrors = { payment_send_errors: unknown[]; accept_errors: unknown[] }

function bindSync(bus: Bus, parts: ProtocolParts): Unregister {
  const sync = bus.bind('/public/payment/PaymentSyncWithBytes', async (call) => {
    const errors: SyncErrors = { payment_send_errors: [], accept_errors: [] }
    try {
      await takeSync(parts, callerOf(call), parse(paymentSyncMessage, call), call, errors)
    } catch (error) {
      errors.accept_errors.push(replyOf(parts.logger, 'PaymentSyncWithBytes', 'decide', error).data)
    }
    if (errors.payment_send_errors.length + errors.accept_errors.length > 0) throw new ReplyError(errors)
    return ACK
  })
  const needed = bus.bind('/public/payment/PaymentSyncNeeded', async (call) => {
    try {
      parts.onSyncNeeded(callerOf(call))
      return ACK
    } catch (error) {
      throw replyOf(parts.logger, 'PaymentSyncNeeded', 'send', error)
    }
  })
  return () => {
    sync()
    needed()
  }
}

async function takeSync(
  { issuing, collecting, logger }: ProtocolParts,
  caller: NodeId,
  message: PaymentSyncMessage,
  call: BusCall,
  errors: SyncErrors,
): Promise<void> {
  const each = async <M>(items: readonly M[] | undefined, sort: 'send' | 'decide', answer: Answer<M>) => {
    for (const item of items ?? []) {
      try {
        await answer(caller, item, call)
      } catch (error) {
        const list = sort === 'send' ? errors.payment_send_errors : errors.accept_errors
        list.push(replyOf(logger, 'PaymentSyncWithBytes', sort, error).data)
      }
    }
  }
  // Decisions first: a payment settles what was accepted.
  await each(message.debit_note_accepts, 'decide', acceptDebitNote(issuing))
  await each(message.debit_note_rejects, 'decide', rejectDebitNote(issuing))
  await each(message.invoice_accepts, 'decide', acceptInvoice(issuing))
  await each(message.invoice_rejects, 'decide', rejectInvoice(issuing))
  await each(message.payments, 'send', receivePayment(collecting))
}

/** The node that calls. A part of this node calls for one of its identities. */
function callerOf({ caller }: BusCall): NodeId {
  if (caller.nodeId !== undefined) return caller.nodeId
  throw new PaymentError('wrong-party', 'the caller acts for no identity')
}

function parse<S extends z.ZodType>(schema: S, { body }: BusCall): z.output<S> {
  const parsed = schema.safeParse(body.value())
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PaymentError('bad-request', `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? 'unreadable'}`)
}

const FORBIDDEN: readonly PaymentErrorCode[] = ['wrong-party', 'foreign-agreement', 'foreign-activity']
/** Trying again may help. */
const TEMPORARY: readonly PaymentErrorCode[] = ['too-many', 'driver-failed', 'stopped', 'bad-platform']

function replyOf(logger: Logger, name: string, sort: ErrorSort, error: unknown): ReplyError {
  if (error instanceof ReplyError) return error
  const code = error instanceof PaymentError ? error.code : undefined
  const text = code === undefined ? 'internal error' : `${messageOf(error)} (${code})`
  if (code === undefined) logger.error('a message could not be handled', { message: name, error: messageOf(error) })
  else logger.info('a message was refused', { message: name, code, reason: messageOf(error) })
  return new ReplyError({ [kindOf(code, sort)]: text }, text)
}

function kindOf(code: PaymentErrorCode | undefined, sort: ErrorSort): string {
  if (code === undefined || TEMPORARY.includes(code)) return 'ServiceError'
  if (sort === 'send') return 'BadRequest'
  if (code === 'not-found') return 'ObjectNotFound'
  if (FORBIDDEN.includes(code)) return 'Forbidden'
  return sort === 'cancel' ? 'Conflict' : 'BadRequest'
}
