import { emetPaymentApi, paymentApi, RestError, type Route } from '@emet/api'
import type { NodeId } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { emetPaymentRoutes, kindsOf, paymentRoutes } from './routes.ts'
import { ACTIVITY, AGREEMENT, createWorld, PLATFORM, type TestNode, type World } from './testing/index.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.stop())

type Call = { params?: unknown; query?: unknown; body?: unknown; headers?: Record<string, string>; as?: NodeId }
type Answer = { status: number; body: unknown; contentType?: string | undefined }

/** Calls a route as the server does: parses by its schemas, encodes the answer by them. */
async function call(node: TestNode, name: string, given: Call = {}): Promise<Answer> {
  const isEmet = name in emetPaymentApi.routes
  const routes = (isEmet ? emetPaymentApi : paymentApi).routes as Record<string, Route>
  const handlers = isEmet ? emetPaymentRoutes(node.payment) : paymentRoutes(node.payment)
  const route = routes[name] as Route
  const parse = (schema: unknown, value: unknown) =>
    schema instanceof z.ZodType ? schema.parse(value ?? {}) : undefined
  const request = {
    params: parse(route.params, given.params),
    query: parse(route.query, given.query),
    body: parse(route.body, given.body),
    caller: { nodeId: given.as ?? node.id, keyName: 'test', role: 'manager' as const },
    headers: given.headers ?? {},
    wantsEvents: false,
    signal: new AbortController().signal,
  }
  try {
    const handler = (handlers as unknown as Record<string, (r: typeof request) => Promise<unknown>>)[name]
    const body = await handler?.(request)
    return { status: route.success.status, body: z.encode(route.success.body as z.ZodType, body) }
  } catch (error) {
    if (!(error instanceof RestError)) throw error
    return { status: error.status, body: JSON.parse(JSON.stringify(error.body)), contentType: error.contentType }
  }
}

/** As golem-js sends it, empty fields included. */
const wish = (change: object = {}) => ({
  totalAmount: '10',
  paymentPlatform: PLATFORM,
  address: world.requestor.id,
  timestamp: '2026-01-01T00:00:00.000Z',
  timeout: '2026-06-01T00:00:00.000Z',
  makeDeposit: false,
  remainingAmount: '',
  spentAmount: '',
  allocationId: '',
  ...change,
})
const allocate = (change?: object) => call(world.requestor, 'createAllocation', { body: wish(change) })

describe('allocations', () => {
  it('are created, listed, read, amended and released', async () => {
    const created = await allocate()
    expect(created).toMatchObject({
      status: 201,
      body: {
        address: world.requestor.id,
        paymentPlatform: PLATFORM,
        totalAmount: '10',
        spentAmount: '0',
        remainingAmount: '10',
        timeout: '2026-06-01T00:00:00.000000Z',
        makeDeposit: false,
      },
    })
    const params = { allocationId: (created.body as { allocationId: string }).allocationId }
    expect((await call(world.requestor, 'listAllocations')).body).toEqual([created.body])
    expect(await call(world.requestor, 'getAllocation', { params })).toEqual({ status: 200, body: created.body })
    const amended = await call(world.requestor, 'amendAllocation', { params, body: { totalAmount: 12.5 } })
    expect(amended).toMatchObject({ status: 200, body: { totalAmount: '12.5', remainingAmount: '12.5' } })
    expect(await call(world.requestor, 'getAllocation', { params, as: world.provider.id })).toMatchObject({
      status: 404,
    })
    expect(await call(world.requestor, 'releaseAllocation', { params })).toEqual({ status: 200, body: null })
    expect(await call(world.requestor, 'releaseAllocation', { params })).toMatchObject({ status: 410 })
    const gone = { status: 404, body: { message: null } }
    expect(await call(world.requestor, 'getAllocation', { params })).toMatchObject(gone)
    const ids = { query: { allocationIds: params.allocationId } }
    expect(await call(world.requestor, 'getDemandDecorations', ids)).toMatchObject(gone)
  })

  const base = '/payment-api/v1/allocations'
  it.each([
    [
      { totalAmount: '101' },
      400,
      'validation-error',
      'insufficient-account-funds',
      { requestedFunds: '101', availableFunds: '100', reservedFunds: '0', paymentPlatform: PLATFORM },
    ],
    [
      { timeout: '2020-01-01T00:00:00Z' },
      400,
      'validation-error',
      'timeout-passed',
      { requestedTimeout: '2020-01-01T00:00:00.000000Z' },
    ],
    [{ paymentPlatform: 'x' }, 400, 'bad-payment-platform', undefined, { requestedPaymentPlatform: 'x' }],
    [{ paymentPlatform: null }, 400, 'bad-payment-platform', undefined, {}],
    [
      { paymentPlatform: { network: 'nowhere' } },
      400,
      'bad-payment-platform',
      undefined,
      { requestedPaymentPlatform: { network: 'nowhere' } },
    ],
    [{ address: `0x${'9'.repeat(40)}` }, 500, 'account-not-registered', undefined, { address: `0x${'9'.repeat(40)}` }],
    [{ deposit: { id: '1', contract: 'x' } }, 400, 'validation-error', 'malformed-deposit-contract', {}],
  ] as const)('answer %j with a problem', async (change, status, type, instance, facts) => {
    const answer = await allocate(change)
    expect(answer).toMatchObject({ status, contentType: 'application/problem+json' })
    expect(answer.body).toMatchObject({
      type: `${base}/${type}`,
      detail: expect.any(String),
      requestBody: { totalAmount: 'totalAmount' in change ? change.totalAmount : '10' },
      ...facts,
    })
    const found = (answer.body as { instance?: string }).instance
    expect(found).toBe(instance && `${base}/${type}/${instance}`)
  })
})

describe('documents', () => {
  const issue = async () => {
    const body = {
      agreementId: AGREEMENT,
      activityIds: [ACTIVITY],
      amount: '5',
      paymentDueDate: '2026-02-01T00:00:00Z',
    }
    const { body: invoice } = await call(world.provider, 'issueInvoice', { body })
    return { invoiceId: (invoice as { invoiceId: string }).invoiceId }
  }

  it('go through the calls of the published clients', async () => {
    const { body: allocation } = await allocate()
    const allocationId = (allocation as { allocationId: string }).allocationId
    const note = { activityId: ACTIVITY, totalAmountDue: '2', usageCounterVector: [1, 2] }
    const issued = await call(world.provider, 'issueDebitNote', { body: note })
    expect(issued).toMatchObject({
      status: 201,
      body: { status: 'ISSUED', totalAmountDue: '2', usageCounterVector: [1, 2] },
    })
    const noteParams = { debitNoteId: (issued.body as { debitNoteId: string }).debitNoteId }
    expect(await call(world.provider, 'sendDebitNote', { params: noteParams })).toEqual({ status: 200, body: null })
    const params = await issue()
    expect(await call(world.provider, 'sendInvoice', { params })).toEqual({ status: 200, body: null })
    const poll = {
      query: { timeout: '5', afterTimestamp: '2025-12-31T00:00:00.000Z', maxEvents: '100', appSessionId: 'session' },
    }
    const events = await call(world.requestor, 'getInvoiceEvents', poll)
    expect(events.body).toMatchObject([{ ...params, eventType: 'InvoiceReceivedEvent' }])
    expect((await call(world.requestor, 'getInvoice', { params })).body).toMatchObject({
      status: 'RECEIVED',
      amount: '5',
    })
    const accepted = { params, query: { timeout: '5' }, body: { totalAmountAccepted: '5.0', allocationId } }
    expect(await call(world.requestor, 'acceptInvoice', accepted)).toEqual({ status: 200, body: null })
    expect(await call(world.requestor, 'acceptInvoice', accepted), 'again').toEqual({ status: 200, body: null })
    await world.clock.advance(1_000)
    const headers = { 'x-provider-events': 'SETTLED' }
    expect((await call(world.provider, 'getInvoiceEvents', { ...poll, headers })).body).toMatchObject([
      { eventType: 'InvoiceSettledEvent' },
    ])
    const payments = await call(world.provider, 'getInvoicePayments', { params })
    expect(payments.body).toMatchObject([{ amount: '5', payeeId: world.provider.id }])
    expect((await call(world.provider, 'listPayments', { query: { timeout: '0' } })).body).toEqual(payments.body)
    expect((await call(world.requestor, 'getStatus')).body).toMatchObject({
      amount: '95',
      reserved: '5',
      outgoing: {
        accepted: { totalAmount: '5', agreementsCount: 1 },
        confirmed: { totalAmount: '5', agreementsCount: 1 },
      },
      incoming: { accepted: { totalAmount: '0', agreementsCount: 0 } },
    })
  })

  it('fail with the documented statuses', async () => {
    const { body: allocation } = await allocate({ totalAmount: '1' })
    const allocationId = (allocation as { allocationId: string }).allocationId
    const params = await issue()
    world.requestor.isOnline = false
    expect(await call(world.provider, 'sendInvoice', { params })).toMatchObject({ status: 504 })
    world.requestor.isOnline = true
    await call(world.provider, 'sendInvoice', { params })
    const accept = (totalAmountAccepted: string, id = allocationId) =>
      call(world.requestor, 'acceptInvoice', { params, body: { totalAmountAccepted, allocationId: id } })
    expect(await accept('4')).toMatchObject({ status: 400 })
    expect(await accept('5')).toMatchObject({
      status: 400,
      body: { message: 'Not enough funds. Allocated: 1 Needed: 5' },
    })
    expect(await accept('5', 'x')).toMatchObject({ status: 400, body: { message: 'Allocation x not found' } })
    const nowhere = { params: { invoiceId: 'x' }, body: { totalAmountAccepted: '5', allocationId } }
    expect(await call(world.requestor, 'acceptInvoice', nowhere)).toMatchObject({
      status: 404,
      body: { message: null },
    })
    const bill = { agreementId: AGREEMENT, amount: '1', paymentDueDate: '2026-02-01T00:00:00Z' }
    expect(await call(world.requestor, 'issueInvoice', { body: bill })).toMatchObject({ status: 401 })
    expect(await call(world.provider, 'issueInvoice', { body: { ...bill, agreementId: 'x' } })).toMatchObject({
      status: 400,
    })
    const rejection = { rejectionReason: 'BAD_SERVICE', totalAmountAccepted: '0.00', message: 'no' }
    expect(await call(world.requestor, 'rejectInvoice', { params, body: rejection })).toEqual({
      status: 200,
      body: null,
    })
    expect(await accept('5')).toMatchObject({ status: 400 })
  })

  it('cannot be cancelled once accepted', async () => {
    const { body: allocation } = await allocate()
    const allocationId = (allocation as { allocationId: string }).allocationId
    const params = await issue()
    await call(world.provider, 'sendInvoice', { params })
    await call(world.requestor, 'acceptInvoice', { params, body: { totalAmountAccepted: '5', allocationId } })
    expect(await call(world.provider, 'cancelInvoice', { params })).toMatchObject({ status: 409 })
  })
})

describe('debit notes', () => {
  /** A debit note over `amount` GLM, sent. */
  const sendNote = async (amount: string, paymentDueDate?: string) => {
    const body = { activityId: ACTIVITY, totalAmountDue: amount, ...(paymentDueDate ? { paymentDueDate } : {}) }
    const issued = await call(world.provider, 'issueDebitNote', { body })
    const params = { debitNoteId: (issued.body as { debitNoteId: string }).debitNoteId }
    expect(await call(world.provider, 'sendDebitNote', { params })).toMatchObject({ status: 200 })
    return params
  }
  const statuses = (params: { debitNoteId: string }) =>
    Promise.all(
      [world.provider, world.requestor].map(async (node) => (await call(node, 'getDebitNote', { params })).body),
    )

  it('are rejected, and then cannot be accepted', async () => {
    const params = await sendNote('2')
    const body = { rejectionReason: 'INCORRECT_AMOUNT', totalAmountAccepted: '0', message: 'too much' }
    expect(await call(world.requestor, 'rejectDebitNote', { params, body })).toEqual({ status: 200, body: null })
    expect(await statuses(params)).toMatchObject([{ status: 'REJECTED' }, { status: 'REJECTED' }])
    const query = { timeout: '0', maxEvents: '10' }
    expect((await call(world.provider, 'getDebitNoteEvents', { query })).body).toMatchObject([
      { ...params, eventType: 'DebitNoteRejectedEvent', rejection: { message: 'too much' } },
    ])
    const { body: allocation } = await allocate()
    const { allocationId } = allocation as { allocationId: string }
    const acceptance = { params, body: { totalAmountAccepted: '2', allocationId } }
    expect(await call(world.requestor, 'acceptDebitNote', acceptance)).toMatchObject({ status: 400 })
    expect(await call(world.requestor, 'rejectDebitNote', { params: { debitNoteId: 'x' }, body })).toMatchObject({
      status: 404,
    })
  })

  it('are cancelled by their issuer, until accepted', async () => {
    const params = await sendNote('2')
    expect(await call(world.requestor, 'cancelDebitNote', { params }), 'not its issuer').toMatchObject({ status: 404 })
    expect(await call(world.provider, 'cancelDebitNote', { params })).toEqual({ status: 200, body: null })
    expect(await statuses(params)).toMatchObject([{ status: 'CANCELLED' }, { status: 'CANCELLED' }])
    const next = await sendNote('3')
    const { body: allocation } = await allocate()
    const { allocationId } = allocation as { allocationId: string }
    const acceptance = { params: next, body: { totalAmountAccepted: '3', allocationId } }
    expect(await call(world.requestor, 'acceptDebitNote', acceptance)).toEqual({ status: 200, body: null })
    expect(await call(world.provider, 'cancelDebitNote', { params: next })).toMatchObject({ status: 409 })
  })

  it('tell what was paid for their activity', async () => {
    const params = await sendNote('2', '2026-02-01T00:00:00Z')
    expect(await call(world.provider, 'getDebitNotePayments', { params })).toEqual({ status: 200, body: [] })
    const { body: allocation } = await allocate()
    const { allocationId } = allocation as { allocationId: string }
    await call(world.requestor, 'acceptDebitNote', { params, body: { totalAmountAccepted: '2', allocationId } })
    await world.clock.advance(1_000)
    for (const node of [world.requestor, world.provider])
      expect((await call(node, 'getDebitNotePayments', { params })).body).toMatchObject([
        { amount: '2', activityPayments: [{ activityId: ACTIVITY, amount: '2' }] },
      ])
    const nothing = { params: { debitNoteId: 'x' } }
    expect(await call(world.provider, 'getDebitNotePayments', nothing)).toMatchObject({ status: 404 })
  })
})

describe('views', () => {
  it('of cycles, accounts, networks and what is unknown', async () => {
    const node = world.requestor
    const account = {
      platform: PLATFORM,
      address: node.id,
      driver: 'mock',
      network: 'local',
      token: 'tGLM',
      send: true,
      receive: true,
    }
    expect((await call(node, 'getRequestorAccounts')).body).toEqual([account])
    expect((await call(node, 'getProviderAccounts')).body).toEqual([account])
    expect((await call(node, 'listNetworks')).body).toMatchObject([{ platform: PLATFORM, canFund: true }])
    expect((await call(node, 'fund', { body: {} })).body).toMatchObject({
      message: expect.any(String),
      transactions: [],
    })
    expect((await call(node, 'getDriverStatus')).body).toEqual([])
    expect(await call(node, 'getDriverStatus', { query: { network: 'x' } })).toMatchObject({ status: 404 })
    expect(await call(node, 'listPayments', { query: { network: 'x' } })).toMatchObject({ status: 500 })
    expect(await call(node, 'getPayment', { params: { paymentId: 'x' } })).toMatchObject({
      status: 404,
      body: { message: null },
    })
    expect(await call(node, 'getPayAgreement', { params: { agreementId: 'x' } })).toEqual({ status: 200, body: null })
    expect(await call(node, 'getPayActivity', { params: { activityId: 'x' } })).toMatchObject({
      status: 500,
      body: { message: 'Activity not found' },
    })
    expect(await call(node, 'getBatchOrder', { params: { orderId: 'x' } })).toMatchObject({ status: 404 })
    const update = { platform: PLATFORM, intervalSec: 90.5 }
    expect((await call(node, 'setBatchCycle', { body: update })).body).toMatchObject({
      Ok: { platform: PLATFORM, interval: { secs: 90, nanos: 500_000_000 } },
    })
    expect((await call(node, 'setBatchCycle', { body: { platform: PLATFORM, cron: 'x' } })).body).toMatchObject({
      Err: expect.stringContaining('cron'),
    })
    expect((await call(node, 'getBatchCycle', { params: { platform: PLATFORM } })).body).toMatchObject({
      intervalSec: 90.5,
    })
    expect(await call(node, 'getBatchCycle', { params: { platform: 'x' } })).toMatchObject({ status: 404 })
    expect((await call(node, 'listBatchCycles')).body).toHaveLength(1)
    expect((await call(node, 'runBatchNow', { params: { platform: PLATFORM } })).status).toBe(200)
  })

  it('select events by headers, untrimmed', () => {
    expect(kindsOf({})).toEqual({ requestorKinds: undefined, providerKinds: undefined })
    expect(kindsOf({ 'x-requestor-events': 'SETTLED,ACCEPTED, REJECTED' }).requestorKinds).toEqual([
      'ACCEPTED',
      'SETTLED',
    ])
  })
})
