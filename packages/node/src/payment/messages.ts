/** Golem wire: the messages between payment modules, addresses `/public/payment/<id>`. */
import {
  acceptanceSchema,
  byteArraySchema,
  debitNoteSchema,
  invoiceSchema,
  maybe,
  nodeIdSchema,
  paymentSchema,
  rejectionSchema,
} from '@emet/core'
import { z } from 'zod'
import { PEER_ID_LENGTH_MAX, SIGNED_BYTES_MAX, SYNC_ENTRIES_MAX } from './options.ts'

const id = z.string().min(1).max(PEER_ID_LENGTH_MAX)

/** Bytes: a blob from serde_bytes, a vector of numbers otherwise; sent as a blob. */
const bytes = (max: number) =>
  z.codec(
    z.union([z.instanceof(Uint8Array).refine((given) => given.length <= max), byteArraySchema]),
    z.instanceof(Uint8Array),
    { decode: (given) => given, encode: (given) => given },
  )

/** In messages a whole acceptance; the allocation's id stays with the requestor. */
const acceptance = acceptanceSchema.extend({ allocationId: z.string().max(PEER_ID_LENGTH_MAX).default('') })

export const sendDebitNoteMessage = debitNoteSchema
export const sendInvoiceMessage = invoiceSchema
export const acceptDebitNoteMessage = z.object({ debitNoteId: id, acceptance, issuerId: nodeIdSchema })
export const acceptInvoiceMessage = z.object({ invoiceId: id, acceptance, issuerId: nodeIdSchema })
export const rejectInvoiceMessage = z.object({ invoiceId: id, rejection: rejectionSchema, issuerId: nodeIdSchema })
/** The original's has no issuer, and is never sent to it. */
export const rejectDebitNoteMessage = z.object({ debitNoteId: id, rejection: rejectionSchema, issuerId: nodeIdSchema })
export const cancelInvoiceMessage = z.object({ invoiceId: id, recipientId: nodeIdSchema })
/** The original's has no recipient, and is never sent to it. */
export const cancelDebitNoteMessage = z.object({ debitNoteId: id, recipientId: nodeIdSchema })

export const sendPaymentMessage = paymentSchema.extend({ signature: bytes(65), signed_bytes: bytes(SIGNED_BYTES_MAX) })

const listOf = <S extends z.ZodType>(schema: S) => maybe(z.array(schema).max(SYNC_ENTRIES_MAX))

export const paymentSyncMessage = z.object({
  payments: listOf(sendPaymentMessage),
  invoice_accepts: listOf(acceptInvoiceMessage),
  invoice_rejects: listOf(rejectInvoiceMessage),
  debit_note_accepts: listOf(acceptDebitNoteMessage),
  /** Ours; the original ignores it. */
  debit_note_rejects: listOf(rejectDebitNoteMessage),
})

export type SendPaymentMessage = z.output<typeof sendPaymentMessage>
export type PaymentSyncMessage = z.output<typeof paymentSyncMessage>
