/** Payment documents. Golem wire: spec/rest-api.md §3.4-3.6. */
import { z } from 'zod'
import { nodeIdSchema } from '../ids.ts'
import { amountSchema, base64Schema, byteArraySchema, instantSchema, maybe, shortTextSchema } from './wire.ts'

/** Most activities in one invoice. */
export const INVOICE_ACTIVITIES_MAX = 10_000

/** Funds locked in a contract. `validate` holds the arguments of the contract's own check. */
export const depositSchema = z.object({
  id: shortTextSchema,
  contract: shortTextSchema,
  validate: maybe(z.record(z.string(), z.unknown())),
})
export type Deposit = z.output<typeof depositSchema>

/** A payment platform by its parts; each part has a default. */
export const platformTripleSchema = z.object({
  driver: maybe(shortTextSchema),
  network: maybe(shortTextSchema),
  token: maybe(shortTextSchema),
})
export type PlatformTriple = z.output<typeof platformTripleSchema>

/** The request to reserve funds. Clients send more fields than these; they are dropped. */
export const newAllocationSchema = z
  .object({
    address: maybe(shortTextSchema).describe("Default: the caller's identity"),
    paymentPlatform: maybe(z.union([shortTextSchema, platformTripleSchema])).describe(
      'driver-network-token, or its parts. Default: erc20-holesky-tglm',
    ),
    totalAmount: amountSchema,
    timeout: maybe(instantSchema).describe('When the allocation is released by itself'),
    deposit: maybe(depositSchema),
    makeDeposit: maybe(z.boolean()),
    extendTimeout: maybe(z.number()).describe('Seconds'),
  })
  .meta({ id: 'NewAllocation' })
export type NewAllocation = z.output<typeof newAllocationSchema>

/** Reserved funds. `totalAmount` = `spentAmount` + `remainingAmount`, always. */
export const allocationSchema = z
  .object({
    allocationId: z.string(),
    address: z.string(),
    paymentPlatform: z.string(),
    totalAmount: amountSchema,
    spentAmount: amountSchema,
    remainingAmount: amountSchema,
    timestamp: instantSchema,
    timeout: maybe(instantSchema),
    deposit: maybe(depositSchema),
    createdTs: maybe(instantSchema),
    updatedTs: maybe(instantSchema),
    makeDeposit: z.boolean(),
    extendTimeout: maybe(z.number()),
  })
  .meta({ id: 'Allocation' })
export type Allocation = z.output<typeof allocationSchema>

export const allocationUpdateSchema = z
  .object({
    totalAmount: maybe(amountSchema),
    timeout: maybe(instantSchema),
    deposit: maybe(z.object({ validate: maybe(z.record(z.string(), z.unknown())) })),
  })
  .meta({ id: 'AllocationUpdate' })
export type AllocationUpdate = z.output<typeof allocationUpdateSchema>

export const allocationExpenditureSchema = z
  .object({
    allocationId: z.string(),
    agreementId: z.string(),
    activityId: maybe(z.string()),
    acceptedAmount: amountSchema,
    scheduledAmount: amountSchema,
  })
  .meta({ id: 'AllocationExpenditure' })
export type AllocationExpenditure = z.output<typeof allocationExpenditureSchema>

export const DOCUMENT_STATUSES = [
  'ISSUED',
  'RECEIVED',
  'ACCEPTED',
  'REJECTED',
  'FAILED',
  'SETTLED',
  'CANCELLED',
] as const
export type DocumentStatus = (typeof DOCUMENT_STATUSES)[number]

const parties = {
  issuerId: nodeIdSchema,
  recipientId: nodeIdSchema,
  payeeAddr: z.string(),
  payerAddr: z.string(),
  paymentPlatform: z.string(),
}

export const newDebitNoteSchema = z
  .object({
    activityId: shortTextSchema,
    totalAmountDue: amountSchema,
    usageCounterVector: maybe(z.unknown()),
    paymentDueDate: maybe(instantSchema),
  })
  .meta({ id: 'NewDebitNote' })
export type NewDebitNote = z.output<typeof newDebitNoteSchema>

/** The amount due for one activity so far. `totalAmountDue` is cumulative. */
export const debitNoteSchema = z
  .object({
    debitNoteId: z.string(),
    ...parties,
    previousDebitNoteId: maybe(z.string()),
    timestamp: instantSchema,
    agreementId: z.string(),
    activityId: z.string(),
    totalAmountDue: amountSchema,
    usageCounterVector: maybe(z.unknown()).describe('Usually an array of numbers'),
    paymentDueDate: maybe(instantSchema),
    status: z.enum(DOCUMENT_STATUSES),
  })
  .meta({ id: 'DebitNote' })
export type DebitNote = z.output<typeof debitNoteSchema>

export const newInvoiceSchema = z
  .object({
    agreementId: shortTextSchema,
    activityIds: maybe(z.array(shortTextSchema).max(INVOICE_ACTIVITIES_MAX)),
    amount: amountSchema,
    paymentDueDate: instantSchema,
  })
  .meta({ id: 'NewInvoice' })
export type NewInvoice = z.output<typeof newInvoiceSchema>

/** The final bill of an agreement. */
export const invoiceSchema = z
  .object({
    invoiceId: z.string(),
    ...parties,
    timestamp: instantSchema,
    agreementId: z.string(),
    activityIds: z.array(z.string()),
    amount: amountSchema,
    paymentDueDate: instantSchema,
    status: z.enum(DOCUMENT_STATUSES),
  })
  .meta({ id: 'Invoice' })
export type Invoice = z.output<typeof invoiceSchema>

/** The promise to pay a document in full out of an allocation. */
export const acceptanceSchema = z
  .object({ totalAmountAccepted: amountSchema, allocationId: shortTextSchema })
  .meta({ id: 'Acceptance' })
export type Acceptance = z.output<typeof acceptanceSchema>

export const REJECTION_REASONS = ['UNSOLICITED_SERVICE', 'BAD_SERVICE', 'INCORRECT_AMOUNT'] as const
export type RejectionReason = (typeof REJECTION_REASONS)[number]

export const rejectionSchema = z
  .object({
    rejectionReason: z.enum(REJECTION_REASONS),
    totalAmountAccepted: amountSchema,
    message: maybe(z.string()),
  })
  .meta({ id: 'Rejection' })
export type Rejection = z.output<typeof rejectionSchema>

/** Trouble of a payment driver. Any of these holds up payments. */
export const driverStatusPropertySchema = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('InsufficientGas'),
      driver: z.string(),
      network: z.string(),
      address: z.string(),
      neededGasEst: z.string(),
    }),
    z.object({
      kind: z.literal('InsufficientToken'),
      driver: z.string(),
      network: z.string(),
      address: z.string(),
      neededTokenEst: z.string(),
    }),
    z.object({ kind: z.literal('InvalidChainId'), driver: z.string(), chainId: z.number() }),
    z.object({ kind: z.literal('CantSign'), driver: z.string(), network: z.string(), address: z.string() }),
    z.object({ kind: z.literal('TxStuck'), driver: z.string(), network: z.string() }),
    z.object({ kind: z.literal('RpcError'), driver: z.string(), network: z.string() }),
  ])
  .meta({ id: 'DriverStatusProperty' })
export type DriverStatusProperty = z.output<typeof driverStatusPropertySchema>

/** The names that select events by kind in the `X-Requestor-Events` and `X-Provider-Events` headers. */
export const PAYMENT_EVENT_KINDS = [
  'RECEIVED',
  'ACCEPTED',
  'REJECTED',
  'CANCELLED',
  'SETTLED',
  'PAYMENT_EVENT',
  'PAYMENT_OK',
] as const
export type PaymentEventKind = (typeof PAYMENT_EVENT_KINDS)[number]

const invoiceEvent = { invoiceId: z.string(), eventDate: instantSchema }

export const invoiceEventSchema = z
  .discriminatedUnion('eventType', [
    z.object({ eventType: z.literal('InvoiceReceivedEvent'), ...invoiceEvent }),
    z.object({ eventType: z.literal('InvoiceAcceptedEvent'), ...invoiceEvent }),
    z.object({ eventType: z.literal('InvoiceRejectedEvent'), ...invoiceEvent, rejection: rejectionSchema }),
    z.object({ eventType: z.literal('InvoiceCancelledEvent'), ...invoiceEvent }),
    z.object({ eventType: z.literal('InvoiceSettledEvent'), ...invoiceEvent }),
    z.object({
      eventType: z.literal('InvoicePaymentStatusEvent'),
      ...invoiceEvent,
      property: driverStatusPropertySchema,
    }),
    z.object({ eventType: z.literal('InvoicePaymentOkEvent'), ...invoiceEvent }),
  ])
  .meta({ id: 'InvoiceEvent' })
export type InvoiceEvent = z.output<typeof invoiceEventSchema>

const debitNoteEvent = { debitNoteId: z.string(), eventDate: instantSchema }

export const debitNoteEventSchema = z
  .discriminatedUnion('eventType', [
    z.object({ eventType: z.literal('DebitNoteReceivedEvent'), ...debitNoteEvent }),
    z.object({ eventType: z.literal('DebitNoteAcceptedEvent'), ...debitNoteEvent }),
    z.object({ eventType: z.literal('DebitNoteRejectedEvent'), ...debitNoteEvent, rejection: rejectionSchema }),
    z.object({ eventType: z.literal('DebitNoteCancelledEvent'), ...debitNoteEvent }),
    z.object({ eventType: z.literal('DebitNoteSettledEvent'), ...debitNoteEvent }),
    z.object({
      eventType: z.literal('DebitNotePaymentStatusEvent'),
      ...debitNoteEvent,
      property: driverStatusPropertySchema,
    }),
    z.object({ eventType: z.literal('DebitNotePaymentOkEvent'), ...debitNoteEvent }),
  ])
  .meta({ id: 'DebitNoteEvent' })
export type DebitNoteEvent = z.output<typeof debitNoteEventSchema>

const agreementPaymentSchema = z.object({
  agreementId: z.string(),
  amount: amountSchema,
  allocationId: maybe(z.string()),
})
const activityPaymentSchema = z.object({
  activityId: z.string(),
  amount: amountSchema,
  allocationId: maybe(z.string()),
})

/** A settled transfer, and what it covers. `details` is the driver's proof, in its own form. */
export const paymentSchema = z
  .object({
    paymentId: z.string(),
    payerId: nodeIdSchema,
    payeeId: nodeIdSchema,
    payerAddr: z.string(),
    payeeAddr: z.string(),
    paymentPlatform: z.string(),
    amount: amountSchema,
    timestamp: instantSchema,
    agreementPayments: z.array(agreementPaymentSchema),
    activityPayments: z.array(activityPaymentSchema),
    details: base64Schema,
  })
  .meta({ id: 'Payment' })
export type Payment = z.output<typeof paymentSchema>

/** A payment with the payer's signature over `signedBytes`, where one is stored. */
export const signedPaymentSchema = paymentSchema
  .extend({ signature: maybe(byteArraySchema), signedBytes: maybe(byteArraySchema) })
  .meta({ id: 'SignedPayment' })
export type SignedPayment = z.output<typeof signedPaymentSchema>

/** An address that the driver is ready to pay from (`send`) or be paid at (`receive`). */
export const accountSchema = z
  .object({
    platform: z.string(),
    address: z.string(),
    driver: z.string(),
    network: z.string(),
    token: z.string(),
    send: z.boolean(),
    receive: z.boolean(),
  })
  .meta({ id: 'Account' })
export type Account = z.output<typeof accountSchema>

/** What a demand must say for its provider to be paid out of given allocations. */
export const marketDecorationSchema = z
  .object({
    properties: z.array(z.object({ key: z.string(), value: z.string() })),
    constraints: z.array(z.string()),
  })
  .meta({ id: 'MarketDecoration' })
export type MarketDecoration = z.output<typeof marketDecorationSchema>
