/** Bookkeeping views of payments. Golem wire: spec/rest-api.md §3.6. Their times have no zone. */
import { z } from 'zod'
import { nodeIdSchema } from '../ids.ts'
import { debitNoteSchema } from './payment.ts'
import { amountSchema, instantSchema, maybe, naiveInstantSchema, nullable, shortTextSchema } from './wire.ts'

const totals = {
  totalAmountDue: amountSchema,
  totalAmountAccepted: amountSchema,
  totalAmountScheduled: amountSchema,
  totalAmountPaid: amountSchema,
}

/** `P`rovider or `R`equestor. */
const roleLetterSchema = z.enum(['P', 'R'])

export const payAgreementSchema = z
  .object({
    id: z.string(),
    ownerId: nodeIdSchema,
    role: roleLetterSchema,
    peerId: nodeIdSchema,
    payeeAddr: z.string(),
    payerAddr: z.string(),
    paymentPlatform: z.string(),
    ...totals,
    appSessionId: nullable(z.string()),
    createdTs: nullable(naiveInstantSchema),
    updatedTs: nullable(naiveInstantSchema),
  })
  .meta({ id: 'PayAgreement' })
export type PayAgreement = z.output<typeof payAgreementSchema>

export const payActivitySchema = z
  .object({
    id: z.string(),
    ownerId: nodeIdSchema,
    role: roleLetterSchema,
    agreementId: z.string(),
    ...totals,
    createdTs: nullable(naiveInstantSchema),
    updatedTs: nullable(naiveInstantSchema),
    peerId: nodeIdSchema,
    payeeAddr: z.string(),
    payerAddr: z.string(),
  })
  .meta({ id: 'PayActivity' })
export type PayActivity = z.output<typeof payActivitySchema>

/** A debit note with its place in the activity's chain. */
export const chainedDebitNoteSchema = debitNoteSchema
  .extend({ debitNonce: z.int().min(0) })
  .meta({ id: 'ChainedDebitNote' })
export type ChainedDebitNote = z.output<typeof chainedDebitNoteSchema>

export const batchOrderSchema = z
  .object({
    id: z.string(),
    createdTs: naiveInstantSchema,
    updatedTs: nullable(naiveInstantSchema),
    ownerId: nodeIdSchema,
    payerAddr: z.string(),
    platform: z.string(),
    totalAmount: amountSchema,
    paidAmount: amountSchema,
  })
  .meta({ id: 'BatchOrder' })
export type BatchOrder = z.output<typeof batchOrderSchema>

export const batchOrderItemSchema = z
  .object({
    orderId: z.string(),
    ownerId: nodeIdSchema,
    payeeAddr: z.string(),
    allocationId: z.string(),
    amount: amountSchema,
    paymentId: nullable(z.string()),
    paid: z.boolean(),
  })
  .meta({ id: 'BatchOrderItem' })
export type BatchOrderItem = z.output<typeof batchOrderItemSchema>

/** What one transfer of a batch is for. */
export const batchOrderItemDetailSchema = z
  .object({
    orderId: z.string(),
    ownerId: nodeIdSchema,
    payeeAddr: z.string(),
    allocationId: z.string(),
    agreementId: z.string(),
    invoiceId: nullable(z.string()),
    activityId: nullable(z.string()),
    debitNoteId: nullable(z.string()),
    amount: amountSchema,
  })
  .meta({ id: 'BatchOrderItemDetail' })
export type BatchOrderItemDetail = z.output<typeof batchOrderItemDetailSchema>

/** When the payments of a platform are sent. */
export const batchCycleSchema = z
  .object({
    nodeId: nodeIdSchema,
    platform: z.string(),
    intervalSec: nullable(z.number()),
    cron: nullable(z.string()),
    extraPayTimeSec: z.number(),
    maxIntervalSec: nullable(z.number()),
    nextProcess: nullable(instantSchema),
    lastProcess: nullable(instantSchema),
  })
  .meta({ id: 'BatchCycle' })
export type BatchCycle = z.output<typeof batchCycleSchema>

export const batchCycleUpdateSchema = z
  .object({
    platform: shortTextSchema,
    intervalSec: maybe(z.number().positive()),
    cron: maybe(shortTextSchema),
    extraPayTimeSec: maybe(z.number().min(0)),
    nextUpdate: maybe(instantSchema),
  })
  .meta({ id: 'BatchCycleUpdate' })
export type BatchCycleUpdate = z.output<typeof batchCycleUpdateSchema>

/** How long a batch took. Spelt with underscores on the wire. */
export const batchRunSchema = z
  .object({ resolve_time_ms: z.number(), send_time_ms: z.number() })
  .meta({ id: 'BatchRun' })
export type BatchRun = z.output<typeof batchRunSchema>
