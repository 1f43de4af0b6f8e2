/** Binds the payment APIs to the service. What a failure answers is the original's, where clients look at it. */
import { type emetPaymentApi, type paymentApi, RestError, type RouteHandlers } from '@emet/api'
import { allocationUpdateSchema, newAllocationSchema, PAYMENT_EVENT_KINDS, type PaymentEventKind } from '@emet/core'
import { z } from 'zod'
import { DriverError } from './drivers/errors.ts'
import { PaymentError, type PaymentErrorCode } from './errors.ts'
import type { PaymentService } from './types.ts'

type Handlers = RouteHandlers<typeof paymentApi>
type Documents = PaymentService['debitNotes'] | PaymentService['invoices']

/** A handler for each route of `/payment-api/v1`. */
export function paymentRoutes(service: PaymentService): Handlers {
  return {
    ...allocationRoutes(service),
    ...debitNoteRoutes(service),
    ...invoiceRoutes(service),
    ...viewRoutes(service),
  }
}

/** A handler for each route of `/emet/v1/payment`. */
export function emetPaymentRoutes({ accounts }: PaymentService): RouteHandlers<typeof emetPaymentApi> {
  return {
    getStatus: ({ caller, query, signal }) => {
      const { network, driver, after } = query
      return answer(() => accounts.status(caller.nodeId, { network, driver, afterUs: after }, { signal }), EMET_STATUS)
    },
    fund: ({ caller, body, signal }) =>
      answer(async () => {
        const message = await accounts.fund(caller.nodeId, body, { signal })
        return { message, transactions: message.match(/0x[0-9a-f]{64}/g) ?? [] }
      }, EMET_STATUS),
    listNetworks: async () => accounts.networks(),
  }
}

function allocationRoutes({ allocations }: PaymentService) {
  return {
    createAllocation: ({ caller, body, signal }) =>
      answerAllocation(z.encode(newAllocationSchema, body), () => allocations.create(caller.nodeId, body, { signal })),
    listAllocations: async ({ caller, query }) => allocations.list(caller.nodeId, pageOf(query)),
    getAllocation: ({ caller, params }) => answer(() => allocations.get(caller.nodeId, params.allocationId)),
    amendAllocation: ({ caller, params, body, signal }) =>
      answerAllocation(z.encode(allocationUpdateSchema, body), () =>
        allocations.amend(caller.nodeId, params.allocationId, body, { signal }),
      ),
    releaseAllocation: ({ caller, params }) =>
      answer(() => {
        allocations.release(caller.nodeId, params.allocationId)
        return null
      }),
    getAllocationOrders: ({ caller, params }) => answer(() => allocations.orders(caller.nodeId, params.allocationId)),
    getAllocationExpenditures: ({ caller, params }) =>
      answer(() => allocations.expenditures(caller.nodeId, params.allocationId)),
    getDemandDecorations: ({ caller, query }) =>
      answer(() => allocations.decorations(caller.nodeId, query.allocationIds)),
  } satisfies Partial<Handlers>
}

function debitNoteRoutes({ debitNotes, payments }: PaymentService) {
  return {
    listDebitNotes: async ({ caller, query }) => debitNotes.list(caller.nodeId, pageOf(query)),
    getDebitNote: ({ caller, params }) => answer(() => debitNotes.get(caller.nodeId, params.debitNoteId)),
    getDebitNotePayments: ({ caller, params }) => answer(() => payments.ofDebitNote(caller.nodeId, params.debitNoteId)),
    getDebitNoteEvents: ({ caller, query, headers, signal }) =>
      answer(() => debitNotes.events(caller.nodeId, { ...pollOf(query, signal), ...kindsOf(headers) })),
    issueDebitNote: ({ caller, body }) => answer(() => debitNotes.issue(caller.nodeId, body)),
    sendDebitNote: ({ caller, params, query, signal }) =>
      done(debitNotes, (notes) => notes.send(caller.nodeId, params.debitNoteId, peerOf(query, signal))),
    cancelDebitNote: ({ caller, params, query, signal }) =>
      done(
        debitNotes,
        (notes) => notes.cancel(caller.nodeId, params.debitNoteId, peerOf(query, signal)),
        CANCEL_STATUS,
      ),
    acceptDebitNote: ({ caller, params, query, body, signal }) =>
      done(debitNotes, (notes) => notes.accept(caller.nodeId, params.debitNoteId, body, peerOf(query, signal))),
    rejectDebitNote: ({ caller, params, query, body, signal }) =>
      done(debitNotes, (notes) => notes.reject(caller.nodeId, params.debitNoteId, body, peerOf(query, signal))),
  } satisfies Partial<Handlers>
}

function invoiceRoutes({ invoices, payments }: PaymentService) {
  return {
    listInvoices: async ({ caller, query }) => invoices.list(caller.nodeId, pageOf(query)),
    getInvoice: ({ caller, params }) => answer(() => invoices.get(caller.nodeId, params.invoiceId)),
    getInvoicePayments: ({ caller, params }) => answer(() => payments.ofInvoice(caller.nodeId, params.invoiceId)),
    getInvoiceEvents: ({ caller, query, headers, signal }) =>
      answer(() => invoices.events(caller.nodeId, { ...pollOf(query, signal), ...kindsOf(headers) })),
    issueInvoice: ({ caller, body }) => answer(() => invoices.issue(caller.nodeId, body)),
    sendInvoice: ({ caller, params, query, signal }) =>
      done(invoices, (all) => all.send(caller.nodeId, params.invoiceId, peerOf(query, signal))),
    cancelInvoice: ({ caller, params, query, signal }) =>
      done(invoices, (all) => all.cancel(caller.nodeId, params.invoiceId, peerOf(query, signal)), CANCEL_STATUS),
    acceptInvoice: ({ caller, params, query, body, signal }) =>
      done(invoices, (all) => all.accept(caller.nodeId, params.invoiceId, body, peerOf(query, signal))),
    rejectInvoice: ({ caller, params, query, body, signal }) =>
      done(invoices, (all) => all.reject(caller.nodeId, params.invoiceId, body, peerOf(query, signal))),
  } satisfies Partial<Handlers>
}

function viewRoutes({ payments, accounts, sheets, batches }: PaymentService) {
  return {
    listPayments: ({ caller, query, signal }) => {
      const { driver, network } = query
      return answer(() => payments.poll(caller.nodeId, { ...pollOf(query, signal), driver, network }), {
        'bad-platform': 500,
      })
    },
    getPayment: ({ caller, params }) => answer(() => payments.get(caller.nodeId, params.paymentId)),
    getDriverStatus: async ({ query }) => {
      const status = accounts.driverStatus(query)
      if (status) return status
      throw new RestError(404, `unknown payment driver or network: ${query.driver ?? '*'}, ${query.network ?? '*'}`)
    },
    getRequestorAccounts: async ({ caller }) => accounts.requestor(caller.nodeId),
    getProviderAccounts: async () => accounts.provider(),

    listPayAgreements: async ({ caller, query }) => sheets.agreements(caller.nodeId, pageOf(query)),
    getPayAgreement: async ({ caller, params }) => sheets.agreement(caller.nodeId, params.agreementId) ?? null,
    getPayAgreementActivities: async ({ caller, params }) =>
      sheets.agreementActivities(caller.nodeId, params.agreementId),
    getPayAgreementOrders: async ({ caller, params }) => sheets.agreementOrders(caller.nodeId, params.agreementId),
    listPayActivities: async ({ caller, query }) => sheets.activities(caller.nodeId, pageOf(query)),
    getPayActivity: ({ caller, params }) =>
      answer(() => sheets.activity(caller.nodeId, params.activityId), SHEET_STATUS),
    getPayActivityDebitNotes: ({ caller, params }) =>
      answer(() => sheets.activityDebitNotes(caller.nodeId, params.activityId), SHEET_STATUS),
    getPayActivityInvoice: ({ caller, params }) =>
      answer(() => sheets.activityInvoice(caller.nodeId, params.activityId) ?? null, SHEET_STATUS),
    getPayActivityOrders: ({ caller, params }) =>
      answer(() => sheets.activityOrders(caller.nodeId, params.activityId), SHEET_STATUS),

    listBatchOrders: async ({ caller, query }) => {
      const { afterUs = -1, max } = pageOf(query)
      return batches
        .orders(caller.nodeId)
        .filter(({ createdTs }) => createdTs > afterUs)
        .slice(0, max)
    },
    getBatchOrder: ({ caller, params }) => answer(() => batches.order(caller.nodeId, params.orderId)),
    getBatchOrderItems: ({ caller, params }) => answer(() => batches.items(caller.nodeId, params.orderId)),
    getBatchOrderItemDetails: ({ caller, params }) =>
      answer(() => batches.details(caller.nodeId, params.orderId, params.payee)),
    listBatchCycles: async ({ caller }) => batches.cycles(caller.nodeId),
    getBatchCycle: ({ caller, params }) => answer(() => batches.cycle(caller.nodeId, params.platform), CYCLE_STATUS),
    setBatchCycle: async ({ caller, body }) => {
      try {
        return { Ok: cycleResult(batches.setCycle(caller.nodeId, body)) }
      } catch (error) {
        if (error instanceof PaymentError) return { Err: error.message }
        throw error
      }
    },
    runBatchNow: ({ caller, params }) => answer(() => batches.runNow(caller.nodeId, params.platform), CYCLE_STATUS),
  } satisfies Partial<Handlers>
}

/** Golem REST: the one answer with durations in this form. */
function cycleResult(cycle: ReturnType<PaymentService['batches']['setCycle']>) {
  const duration = (seconds: number | null) =>
    seconds === null ? null : { secs: Math.floor(seconds), nanos: Math.round((seconds % 1) * 1e9) }
  const { intervalSec, extraPayTimeSec, maxIntervalSec, nextProcess, lastProcess, ...rest } = cycle
  const instant = (us: number | null) => (us === null ? null : new Date(us / 1000).toISOString())
  return {
    ...rest,
    interval: duration(intervalSec),
    extraPayTime: duration(extraPayTimeSec),
    maxInterval: duration(maxIntervalSec),
    nextProcess: instant(nextProcess),
    lastProcess: instant(lastProcess),
  }
}

type ListQuery = { readonly afterTimestamp?: number | undefined; readonly maxItems?: number | undefined }
const pageOf = ({ afterTimestamp, maxItems }: ListQuery) => ({ afterUs: afterTimestamp, max: maxItems })

type PollQuery = {
  readonly timeout: number
  readonly afterTimestamp?: number | undefined
  readonly maxEvents?: number | undefined
  readonly appSessionId?: string | undefined
}
const pollOf = ({ timeout, afterTimestamp, maxEvents, appSessionId }: PollQuery, signal: AbortSignal) => ({
  timeoutMs: timeout * 1000,
  afterUs: afterTimestamp,
  max: maxEvents,
  appSessionId,
  signal,
})

const peerOf = ({ timeout }: { readonly timeout: number }, signal: AbortSignal) => ({
  timeoutMs: timeout * 1000,
  signal,
})

/** Golem REST: comma-separated, nothing trimmed; a name that means nothing selects nothing. */
export function kindsOf(headers: Readonly<Record<string, string | undefined>>) {
  const parse = (text: string | undefined): readonly PaymentEventKind[] | undefined => {
    if (text === undefined) return undefined
    const names = text.split(',')
    return PAYMENT_EVENT_KINDS.filter((kind) => names.includes(kind))
  }
  return { requestorKinds: parse(headers['x-requestor-events']), providerKinds: parse(headers['x-provider-events']) }
}

// --- failures

type StatusMap = Partial<Readonly<Record<PaymentErrorCode, number>>>

/** Golem REST: §2.6. */
const STATUS: StatusMap = {
  'not-found': 404,
  'allocation-released': 410,
  'allocation-unusable': 400,
  'allocation-too-small': 400,
  'bad-request': 400,
  'amount-mismatch': 400,
  'amount-lowered': 400,
  'wrong-role': 401,
  'wrong-state': 400,
  conflict: 400,
  'wrong-party': 400,
  'wrong-platform': 400,
  'wrong-address': 400,
  'bad-platform': 400,
  'too-many-waiters': 503,
  'peer-refused': 400,
  'peer-timeout': 504,
  'peer-unreachable': 504,
}
const CANCEL_STATUS: StatusMap = { 'wrong-state': 409 }
const SHEET_STATUS: StatusMap = { 'not-found': 500 }
const CYCLE_STATUS: StatusMap = { 'bad-platform': 404 }
const EMET_STATUS: StatusMap = { 'bad-platform': 404, 'driver-failed': 502 }

/** Does the work; a failure becomes its documented answer. */
async function answer<T>(work: () => T | Promise<T>, special: StatusMap = {}): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw restErrorOf(error, special)
  }
}

async function done<D extends Documents>(documents: D, work: (documents: D) => Promise<void>, special?: StatusMap) {
  await answer(() => work(documents), special)
  return null
}

function restErrorOf(error: unknown, special: StatusMap): unknown {
  if (error instanceof DriverError) return new RestError(driverStatus(error), error.message, { cause: error })
  if (!(error instanceof PaymentError)) return error
  const status = special[error.code] ?? STATUS[error.code] ?? 500
  // Golem REST: what is not found has no message.
  const body = status === 404 && error.code === 'not-found' ? { message: null } : { message: error.message }
  return new RestError(status, error.message, { body, cause: error })
}

function driverStatus({ code }: DriverError): number {
  if (code === 'unknown-platform') return 404
  return code === 'bad-request' || code === 'no-faucet' || code === 'unsupported' ? 400 : 502
}

const PROBLEM_BASE = '/payment-api/v1/allocations'

/** Golem REST: `type` below `/payment-api/v1/allocations`, `instance` below the type. */
const PROBLEMS: Partial<Readonly<Record<PaymentErrorCode, { type: string; instance?: string; status: number }>>> = {
  'bad-platform': { type: 'bad-payment-platform', status: 400 },
  'account-not-registered': { type: 'account-not-registered', status: 500 },
  'timeout-passed': { type: 'validation-error', instance: 'timeout-passed', status: 400 },
  'insufficient-funds': { type: 'validation-error', instance: 'insufficient-account-funds', status: 400 },
  'malformed-deposit-contract': { type: 'validation-error', instance: 'malformed-deposit-contract', status: 400 },
  'malformed-deposit-id': { type: 'validation-error', instance: 'malformed-deposit-id', status: 400 },
  'deposit-reused': { type: 'validation-error', instance: 'deposit-reused', status: 400 },
  'deposit-unsupported': { type: 'validation-error', instance: 'deposit-validation-error', status: 400 },
}

/** Golem REST: allocations fail with RFC 7807 problems, their facts beside `type` and `detail`. */
async function answerAllocation<T>(requestBody: unknown, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof PaymentError && PROBLEMS[error.code] === undefined && STATUS[error.code] !== undefined) {
      throw restErrorOf(error, {})
    }
    throw problemOf(error, requestBody)
  }
}

function problemOf(error: unknown, requestBody: unknown): RestError {
  const problem = error instanceof PaymentError ? PROBLEMS[error.code] : undefined
  const { type, instance, status } = problem ?? { type: 'internal-error', instance: undefined, status: 500 }
  const detail = error instanceof Error ? error.message : String(error)
  const { platform, address, ...facts } = error instanceof PaymentError && problem ? error.facts : {}
  const body = {
    type: `${PROBLEM_BASE}/${type}`,
    ...(instance ? { instance: `${PROBLEM_BASE}/${type}/${instance}` } : {}),
    detail,
    ...(platform === undefined ? {} : { paymentPlatform: platform }),
    ...(address === undefined ? {} : { address }),
    ...facts,
    ...(problem ? {} : { internalError: detail }),
    requestBody,
  }
  return new RestError(status, detail, { body, contentType: 'application/problem+json', cause: error })
}
