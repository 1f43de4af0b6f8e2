import { afterEach, describe, expect, it } from 'vitest'
import {
  ACTIVITY,
  AGREEMENT,
  agreementBetween,
  createWorld,
  GLM,
  PLATFORM,
  type World,
  type WorldOptions,
} from './testing/index.ts'
import { codeOf, tradeOn } from './testing/trade.ts'

let world: World
let trade: ReturnType<typeof tradeOn>
const open = async (options?: WorldOptions) => {
  world = await createWorld(options)
  trade = tradeOn(world)
  return world
}
afterEach(async () => {
  await world?.stop()
})

describe('the way of the money', () => {
  it('goes from allocation through debit notes and invoice to a settled transfer, on both sides', async () => {
    await open()
    const { allocationId } = await trade.allocate()
    const noteId = await trade.sendNote(2n)
    expect(trade.statusOf('provider', 'debitNotes', noteId)).toBe('RECEIVED')
    await trade.accept('debitNotes', noteId, 2n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.balances(), 'a note without a due date is not paid yet').toEqual([100n, 0n])
    const invoiceId = await trade.sendInvoice(5n)
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)

    expect(trade.balances()).toEqual([95n, 5n])
    for (const side of ['requestor', 'provider'] as const) {
      expect(trade.statusOf(side, 'invoices', invoiceId)).toBe('SETTLED')
      expect(trade.statusOf(side, 'debitNotes', noteId)).toBe('SETTLED')
    }
    const allocation = world.requestor.payment.allocations.get(world.requestor.id, allocationId)
    expect([allocation.spentAmount, allocation.remainingAmount]).toEqual([5n * GLM, 5n * GLM])
    expect(await trade.eventsOf('requestor', 'invoices')).toEqual(['Received', 'Accepted', 'Settled'])
    expect(await trade.eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
    expect(await trade.eventsOf('provider', 'debitNotes')).toEqual(['Accepted', 'Settled'])
  })

  it('shows the same sums, payments and shares on both sides', async () => {
    await open()
    const { allocationId } = await trade.allocate()
    await trade.accept('debitNotes', await trade.sendNote(2n), 2n, allocationId)
    const invoiceId = await trade.sendInvoice(5n)
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)
    for (const side of ['requestor', 'provider'] as const) {
      const { payment, id } = world[side]
      const sheet = payment.sheets.agreement(id, AGREEMENT)
      expect(sheet).toMatchObject({
        totalAmountDue: 5n * GLM,
        totalAmountAccepted: 5n * GLM,
        totalAmountPaid: 5n * GLM,
      })
      expect(payment.sheets.activity(id, ACTIVITY)).toMatchObject({ totalAmountPaid: 2n * GLM })
      const payments = await payment.payments.poll(id, { timeoutMs: 0 })
      expect(payments).toHaveLength(1)
      expect(payments[0]).toMatchObject({
        amount: 5n * GLM,
        agreementPayments: [{ agreementId: AGREEMENT, amount: 3n * GLM, allocationId: undefined }],
        activityPayments: [{ activityId: ACTIVITY, amount: 2n * GLM, allocationId: undefined }],
      })
      expect(payments[0]?.signature).toHaveLength(65)
      expect(payment.payments.ofInvoice(id, invoiceId)).toEqual(payments)
      expect(payment.payments.get(id, payments[0]!.paymentId)).toEqual(payments[0])
    }
    const { payment, id } = world.requestor
    const expenditures = payment.allocations.expenditures(id, allocationId)
    expect(expenditures.map(({ scheduledAmount }) => scheduledAmount)).toEqual([2n * GLM, 3n * GLM])
    const [batch] = payment.batches.orders(id)
    expect(batch).toMatchObject({ totalAmount: 5n * GLM, paidAmount: 5n * GLM })
    expect(payment.batches.items(id, batch!.id)).toMatchObject([{ amount: 5n * GLM, paid: true }])
    expect(payment.batches.details(id, batch!.id, world.provider.id).map(({ amount }) => amount)).toEqual([
      2n * GLM,
      3n * GLM,
    ])
    expect(payment.allocations.orders(id, allocationId)).toHaveLength(1)
  })

  it('pays debit notes with a due date before the invoice', async () => {
    await open()
    const { allocationId } = await trade.allocate()
    await trade.accept('debitNotes', await trade.sendNote(1n), 1n, allocationId)
    const due = (world.clock.nowMs() + 1_000) * 1000
    const noteId = await trade.sendNote(3n, due)
    await trade.accept('debitNotes', noteId, 3n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.balances()).toEqual([97n, 3n])
    expect(trade.statusOf('provider', 'debitNotes', noteId)).toBe('SETTLED')
    const invoiceId = await trade.sendInvoice(3n)
    await trade.accept('invoices', invoiceId, 3n, allocationId)
    expect(trade.statusOf('requestor', 'invoices', invoiceId), 'nothing was left to pay').toBe('SETTLED')
    expect(trade.statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    expect(trade.balances()).toEqual([97n, 3n])
  })

  it('settles a document over nothing at once, with both events', async () => {
    await open()
    const { allocationId } = await trade.allocate()
    const invoiceId = await trade.sendInvoice(0n)
    await trade.accept('invoices', invoiceId, 0n, allocationId)
    expect(await trade.eventsOf('requestor', 'invoices')).toEqual(['Received', 'Accepted', 'Settled'])
    expect(await trade.eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
  })

  it('gathers for the length of a cycle, and pays at once when told to', async () => {
    await open({ payment: { testnetCycleIntervalMs: 60_000 } })
    const { allocationId } = await trade.allocate()
    await trade.accept('invoices', await trade.sendInvoice(4n), 4n, allocationId)
    await world.clock.advance(59_000)
    expect(trade.balances()).toEqual([100n, 0n])
    await world.clock.advance(2_000)
    expect(trade.balances()).toEqual([96n, 4n])
    world.agreements.set('c'.repeat(64), agreementBetween(world.requestor.id, world.provider.id, 'c'.repeat(64)))
    const second = world.provider.payment.invoices.issue(world.provider.id, {
      agreementId: 'c'.repeat(64),
      activityIds: [],
      amount: GLM,
      paymentDueDate: (world.clock.nowMs() + 1e9) * 1000,
    })
    await world.provider.payment.invoices.send(world.provider.id, second.invoiceId)
    await trade.accept('invoices', second.invoiceId, 1n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.balances()).toEqual([96n, 4n])
    world.requestor.payment.batches.runNow(world.requestor.id, PLATFORM)
    await world.clock.advance(1_000)
    expect(trade.balances()).toEqual([95n, 5n])
  })
})

describe('what is refused, with its code', () => {
  it('an acceptance that is not exact, not covered, or not out of a usable allocation', async () => {
    await open()
    const small = await trade.allocate(1n)
    const other = await trade.allocate(1n)
    world.requestor.payment.allocations.release(world.requestor.id, other.allocationId)
    const invoiceId = await trade.sendInvoice(5n)
    expect(await codeOf(() => trade.accept('invoices', invoiceId, 4n, small.allocationId))).toBe('amount-mismatch')
    expect(await codeOf(() => trade.accept('invoices', invoiceId, 5n, small.allocationId))).toBe('allocation-too-small')
    expect(await codeOf(() => trade.accept('invoices', invoiceId, 5n, other.allocationId))).toBe('allocation-unusable')
    expect(await codeOf(() => trade.accept('invoices', invoiceId, 5n, 'nonsense'))).toBe('allocation-unusable')
    expect(await codeOf(() => trade.accept('invoices', 'nonsense', 5n, small.allocationId))).toBe('not-found')
    expect(trade.statusOf('requestor', 'invoices', invoiceId)).toBe('RECEIVED')
    const kept = world.requestor.payment.allocations.get(world.requestor.id, small.allocationId)
    expect(kept.remainingAmount, 'nothing was taken').toBe(GLM)
  })

  it('totals that go down, a second invoice, and documents by anyone but the provider', async () => {
    await open()
    await trade.sendNote(2n)
    expect(await codeOf(() => trade.note(1n))).toBe('amount-lowered')
    expect(await codeOf(() => trade.invoice(1n))).toBe('amount-lowered')
    await trade.sendInvoice(2n)
    expect(await codeOf(() => trade.invoice(2n))).toBe('conflict')
    const { payment, id } = world.requestor
    const wish = { activityId: ACTIVITY, totalAmountDue: GLM, usageCounterVector: undefined, paymentDueDate: undefined }
    expect(await codeOf(() => payment.debitNotes.issue(id, wish))).toBe('wrong-role')
    expect(await codeOf(() => payment.debitNotes.issue(id, { ...wish, activityId: 'unknown' }))).toBe('bad-request')
    expect(await codeOf(() => payment.debitNotes.issue(id, { ...wish, totalAmountDue: -1n }))).toBe('bad-request')
  })

  it('an allocation that the account cannot cover, past, on an unknown platform, or of a foreign account', async () => {
    await open()
    await trade.allocate(60n)
    expect(await codeOf(() => trade.allocate(41n))).toBe('insufficient-funds')
    await trade.allocate(40n)
    const { payment, id } = world.requestor
    const wish = {
      address: undefined as string | undefined,
      paymentPlatform: PLATFORM as string,
      totalAmount: 0n,
      timeout: undefined as number | undefined,
      deposit: undefined as { id: string; contract: string; validate: undefined } | undefined,
      makeDeposit: undefined,
      extendTimeout: undefined,
    }
    const create = (change: Partial<typeof wish>) =>
      codeOf(() => payment.allocations.create(id, { ...wish, ...change }))
    expect(await create({ paymentPlatform: 'mock-local-glm' })).toBe('bad-platform')
    expect(await create({ paymentPlatform: 'mock-local-tGLM' })).toBe('bad-platform')
    expect(await create({ paymentPlatform: 'mock-nowhere-tglm' })).toBe('bad-platform')
    expect(await create({ address: world.provider.id })).toBe('account-not-registered')
    expect(await create({ timeout: world.clock.nowMs() * 1000 })).toBe('timeout-passed')
    expect(await create({ totalAmount: -1n })).toBe('bad-request')
    const deposit = { id: '0x12', contract: `0x${'1'.repeat(40)}`, validate: undefined }
    expect(await create({ deposit: { ...deposit, contract: 'x' } })).toBe('malformed-deposit-contract')
    expect(await create({ deposit: { ...deposit, id: 'x' } })).toBe('malformed-deposit-id')
    expect(await create({ deposit })).toBe('deposit-unsupported')
    expect(await create({})).toBe('nothing thrown')
  })
})

describe('races and losses', () => {
  it('a balance that was read before money moved is read again', async () => {
    let gate: Promise<void> | undefined
    await open({
      deps: (deps) => ({
        ...deps,
        drivers: deps.drivers.map((driver) => ({
          ...driver,
          checkFunds: async (request) => {
            const seen = await driver.checkFunds(request)
            await gate
            return seen
          },
        })),
      }),
    })
    const { allocationId } = await trade.allocate(50n)
    let letGo = () => {}
    gate = new Promise((resolve) => {
      letGo = resolve
    })
    const invoiceId = await trade.sendInvoice(50n)
    const late = codeOf(() => trade.allocate(60n))
    await trade.accept('invoices', invoiceId, 50n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.balances()).toEqual([50n, 50n])
    letGo()
    expect(await late).toBe('insufficient-funds')
  })

  it('a driver that has forgotten an order is told again at start', async () => {
    let isForgetful = true
    await open({
      deps: (deps) => ({
        ...deps,
        drivers: deps.drivers.map((driver) => ({
          ...driver,
          schedule: (order) => (isForgetful ? undefined : driver.schedule(order)),
        })),
      }),
    })
    const { allocationId } = await trade.allocate()
    await trade.accept('invoices', await trade.sendInvoice(5n), 5n, allocationId)
    await world.clock.advance(10_000)
    expect(trade.balances()).toEqual([100n, 0n])
    isForgetful = false
    await world.requestor.restart()
    await world.clock.advance(1_000)
    expect(trade.balances()).toEqual([95n, 5n])
  })

  it('a driver that refuses is tried again, with nothing changed', async () => {
    let isBroken = true
    await open({
      deps: (deps) => ({
        ...deps,
        drivers: deps.drivers.map((driver) => ({
          ...driver,
          schedule: (order) => {
            if (isBroken) throw new Error('out of order')
            driver.schedule(order)
          },
        })),
      }),
    })
    const { allocationId } = await trade.allocate()
    await trade.accept('invoices', await trade.sendInvoice(5n), 5n, allocationId)
    await world.clock.advance(10_000)
    expect(world.requestor.payment.batches.orders(world.requestor.id)).toEqual([])
    isBroken = false
    await world.clock.advance(60_000)
    expect(trade.balances()).toEqual([95n, 5n])
  })

  it('trouble of the driver is told to those who ask, and its end', async () => {
    await open()
    const { payment, id, mock } = world.requestor
    const { allocationId } = await trade.allocate()
    const trouble = { kind: 'RpcError', driver: 'mock', network: 'local' } as const
    mock.setTrouble(trouble)
    expect(payment.accounts.driverStatus({})).toEqual([trouble])
    expect(payment.accounts.driverStatus({ network: 'nowhere' })).toBeUndefined()
    const invoiceId = await trade.sendInvoice(5n)
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    mock.setTrouble({ ...trouble, kind: 'TxStuck' })
    mock.setTrouble(undefined)
    await world.clock.advance(1_000)
    const kinds = ['PAYMENT_EVENT', 'PAYMENT_OK', 'SETTLED'] as const
    const events = await payment.invoices.events(id, { timeoutMs: 0, requestorKinds: kinds })
    expect(events.map(({ eventType }) => eventType)).toEqual([
      'InvoicePaymentStatusEvent',
      'InvoicePaymentOkEvent',
      'InvoiceSettledEvent',
    ])
    expect(events[0]).toMatchObject({ invoiceId, property: { kind: 'TxStuck' } })
  })

  it('an account without gas is reported, though its tokens suffice', async () => {
    await open({
      deps: (deps) => ({
        ...deps,
        drivers: deps.drivers.map((driver) => ({
          ...driver,
          checkFunds: async (request) => ({ ...(await driver.checkFunds(request)), hasGas: false, gasNeededWei: GLM }),
        })),
      }),
    })
    await trade.allocate()
    const { payment, id } = world.requestor
    const warning = { kind: 'InsufficientGas', driver: 'mock', network: 'local', address: id, neededGasEst: '1' }
    expect(payment.accounts.driverStatus({ driver: 'mock', network: 'local' })).toEqual([warning])
  })
})
