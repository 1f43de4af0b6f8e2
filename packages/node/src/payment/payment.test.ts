import { afterEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../store/index.ts'
import type { PaymentErrorCode } from './errors.ts'
import { PaymentError } from './errors.ts'
import {
  ACTIVITY,
  AGREEMENT,
  agreementBetween,
  createWorld,
  GLM,
  PLATFORM,
  type World,
  type WorldOptions,
} from './testing.ts'

let world: World
const open = async (options?: WorldOptions) => {
  world = await createWorld(options)
  return world
}
afterEach(async () => {
  await world?.stop()
})

const allocate = (glm = 10n) =>
  world.requestor.payment.allocations.create(world.requestor.id, {
    address: undefined,
    paymentPlatform: PLATFORM,
    totalAmount: glm * GLM,
    timeout: undefined,
    deposit: undefined,
    makeDeposit: undefined,
    extendTimeout: undefined,
  })
const note = (glm: bigint, due?: number) => {
  const { payment, id } = world.provider
  const usage = { usageCounterVector: [1, 2.5], paymentDueDate: due }
  return payment.debitNotes.issue(id, { activityId: ACTIVITY, totalAmountDue: glm * GLM, ...usage })
}
const invoice = (glm: bigint) => {
  const { payment, id } = world.provider
  const paymentDueDate = (world.clock.nowMs() + 1_000_000) * 1000
  return payment.invoices.issue(id, {
    agreementId: AGREEMENT,
    activityIds: [ACTIVITY],
    amount: glm * GLM,
    paymentDueDate,
  })
}
const accept = (kind: 'debitNotes' | 'invoices', id: string, glm: bigint, allocationId: string) =>
  world.requestor.payment[kind].accept(world.requestor.id, id, { totalAmountAccepted: glm * GLM, allocationId })
/** Sends an issued document of the provider. */
const sendNote = async (glm: bigint, due?: number) => {
  const issued = note(glm, due)
  await world.provider.payment.debitNotes.send(world.provider.id, issued.debitNoteId)
  return issued.debitNoteId
}
const sendInvoice = async (glm: bigint) => {
  const issued = invoice(glm)
  await world.provider.payment.invoices.send(world.provider.id, issued.invoiceId)
  return issued.invoiceId
}
const statusOf = (side: 'requestor' | 'provider', kind: 'debitNotes' | 'invoices', id: string) =>
  world[side].payment[kind].get(world[side].id, id).status
const balances = () => [world.requestor.id, world.provider.id].map((id) => world.ledger.balance(id, PLATFORM) / GLM)
const codeOf = async (work: () => unknown): Promise<PaymentErrorCode | 'nothing thrown'> => {
  try {
    await work()
  } catch (error) {
    if (error instanceof PaymentError) return error.code
    throw error
  }
  return 'nothing thrown'
}
const eventsOf = async (side: 'requestor' | 'provider', kind: 'debitNotes' | 'invoices') => {
  const all = ['RECEIVED', 'ACCEPTED', 'REJECTED', 'CANCELLED', 'SETTLED', 'PAYMENT_EVENT', 'PAYMENT_OK'] as const
  const { payment, id } = world[side]
  const events = await payment[kind].events(id, { timeoutMs: 0, requestorKinds: all, providerKinds: all })
  return events.map(({ eventType }) => eventType.replace(/^(Invoice|DebitNote)(.*)Event$/, '$2'))
}

describe('the way of the money', () => {
  it('goes from allocation through debit notes and invoice to a settled transfer, on both sides', async () => {
    await open()
    const { allocationId } = await allocate()
    const noteId = await sendNote(2n)
    expect(statusOf('provider', 'debitNotes', noteId)).toBe('RECEIVED')
    await accept('debitNotes', noteId, 2n, allocationId)
    await world.clock.advance(1_000)
    expect(balances(), 'a note without a due date is not paid yet').toEqual([100n, 0n])
    const invoiceId = await sendInvoice(5n)
    await accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)

    expect(balances()).toEqual([95n, 5n])
    for (const side of ['requestor', 'provider'] as const) {
      expect(statusOf(side, 'invoices', invoiceId)).toBe('SETTLED')
      expect(statusOf(side, 'debitNotes', noteId)).toBe('SETTLED')
    }
    const allocation = world.requestor.payment.allocations.get(world.requestor.id, allocationId)
    expect([allocation.spentAmount, allocation.remainingAmount]).toEqual([5n * GLM, 5n * GLM])
    expect(await eventsOf('requestor', 'invoices')).toEqual(['Received', 'Accepted', 'Settled'])
    expect(await eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
    expect(await eventsOf('provider', 'debitNotes')).toEqual(['Accepted', 'Settled'])
  })

  it('shows the same sums, payments and shares on both sides', async () => {
    await open()
    const { allocationId } = await allocate()
    await accept('debitNotes', await sendNote(2n), 2n, allocationId)
    const invoiceId = await sendInvoice(5n)
    await accept('invoices', invoiceId, 5n, allocationId)
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
    const { allocationId } = await allocate()
    await accept('debitNotes', await sendNote(1n), 1n, allocationId)
    const due = (world.clock.nowMs() + 1_000) * 1000
    const noteId = await sendNote(3n, due)
    await accept('debitNotes', noteId, 3n, allocationId)
    await world.clock.advance(1_000)
    expect(balances()).toEqual([97n, 3n])
    expect(statusOf('provider', 'debitNotes', noteId)).toBe('SETTLED')
    const invoiceId = await sendInvoice(3n)
    await accept('invoices', invoiceId, 3n, allocationId)
    expect(statusOf('requestor', 'invoices', invoiceId), 'nothing was left to pay').toBe('SETTLED')
    expect(statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    expect(balances()).toEqual([97n, 3n])
  })

  it('settles a document over nothing at once, with both events', async () => {
    await open()
    const { allocationId } = await allocate()
    const invoiceId = await sendInvoice(0n)
    await accept('invoices', invoiceId, 0n, allocationId)
    expect(await eventsOf('requestor', 'invoices')).toEqual(['Received', 'Accepted', 'Settled'])
    expect(await eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
  })

  it('gathers for the length of a cycle, and pays at once when told to', async () => {
    await open({ payment: { testnetCycleIntervalMs: 60_000 } })
    const { allocationId } = await allocate()
    await accept('invoices', await sendInvoice(4n), 4n, allocationId)
    await world.clock.advance(59_000)
    expect(balances()).toEqual([100n, 0n])
    await world.clock.advance(2_000)
    expect(balances()).toEqual([96n, 4n])
    world.agreements.set('c'.repeat(64), agreementBetween(world.requestor.id, world.provider.id, 'c'.repeat(64)))
    const second = world.provider.payment.invoices.issue(world.provider.id, {
      agreementId: 'c'.repeat(64),
      activityIds: [],
      amount: GLM,
      paymentDueDate: (world.clock.nowMs() + 1e9) * 1000,
    })
    await world.provider.payment.invoices.send(world.provider.id, second.invoiceId)
    await accept('invoices', second.invoiceId, 1n, allocationId)
    await world.clock.advance(1_000)
    expect(balances()).toEqual([96n, 4n])
    world.requestor.payment.batches.runNow(world.requestor.id, PLATFORM)
    await world.clock.advance(1_000)
    expect(balances()).toEqual([95n, 5n])
  })
})

describe('what is refused, with its code', () => {
  it('an acceptance that is not exact, not covered, or not out of a usable allocation', async () => {
    await open()
    const small = await allocate(1n)
    const other = await allocate(1n)
    world.requestor.payment.allocations.release(world.requestor.id, other.allocationId)
    const invoiceId = await sendInvoice(5n)
    expect(await codeOf(() => accept('invoices', invoiceId, 4n, small.allocationId))).toBe('amount-mismatch')
    expect(await codeOf(() => accept('invoices', invoiceId, 5n, small.allocationId))).toBe('allocation-too-small')
    expect(await codeOf(() => accept('invoices', invoiceId, 5n, other.allocationId))).toBe('allocation-unusable')
    expect(await codeOf(() => accept('invoices', invoiceId, 5n, 'nonsense'))).toBe('allocation-unusable')
    expect(await codeOf(() => accept('invoices', 'nonsense', 5n, small.allocationId))).toBe('not-found')
    expect(statusOf('requestor', 'invoices', invoiceId)).toBe('RECEIVED')
    const kept = world.requestor.payment.allocations.get(world.requestor.id, small.allocationId)
    expect(kept.remainingAmount, 'nothing was taken').toBe(GLM)
  })

  it('totals that go down, a second invoice, and documents by anyone but the provider', async () => {
    await open()
    await sendNote(2n)
    expect(await codeOf(() => note(1n))).toBe('amount-lowered')
    expect(await codeOf(() => invoice(1n))).toBe('amount-lowered')
    await sendInvoice(2n)
    expect(await codeOf(() => invoice(2n))).toBe('conflict')
    const { payment, id } = world.requestor
    const wish = { activityId: ACTIVITY, totalAmountDue: GLM, usageCounterVector: undefined, paymentDueDate: undefined }
    expect(await codeOf(() => payment.debitNotes.issue(id, wish))).toBe('wrong-role')
    expect(await codeOf(() => payment.debitNotes.issue(id, { ...wish, activityId: 'unknown' }))).toBe('bad-request')
    expect(await codeOf(() => payment.debitNotes.issue(id, { ...wish, totalAmountDue: -1n }))).toBe('bad-request')
  })

  it('an allocation that the account cannot cover, past, on an unknown platform, or of a foreign account', async () => {
    await open()
    await allocate(60n)
    expect(await codeOf(() => allocate(41n))).toBe('insufficient-funds')
    await allocate(40n)
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

describe('allocations', () => {
  it('are released by hand once, and by themselves when their time is up, also while the node was off', async () => {
    await open()
    const { payment, id } = world.requestor
    const first = await allocate(60n)
    payment.allocations.release(id, first.allocationId)
    expect(await codeOf(() => payment.allocations.release(id, first.allocationId))).toBe('allocation-released')
    expect(await codeOf(() => payment.allocations.get(id, first.allocationId))).toBe('not-found')
    const timed = await payment.allocations.amend(id, (await allocate(100n)).allocationId, {
      totalAmount: undefined,
      timeout: (world.clock.nowMs() + 5_000) * 1000,
      deposit: undefined,
    })
    await world.clock.advance(4_999)
    expect(await codeOf(() => allocate(1n))).toBe('insufficient-funds')
    await world.clock.advance(2)
    expect(await codeOf(() => payment.allocations.get(id, timed.allocationId))).toBe('not-found')
    const again = await allocate(100n)
    const change = { totalAmount: undefined, timeout: (world.clock.nowMs() + 5_000) * 1000, deposit: undefined }
    await payment.allocations.amend(id, again.allocationId, change)
    await payment.stop()
    await world.clock.advance(10_000)
    await world.requestor.restart()
    expect(world.requestor.payment.allocations.list(id)).toEqual([])
  })

  it('grow only as far as the account goes, and shrink only to what is spent', async () => {
    await open()
    const { payment, id } = world.requestor
    const { allocationId } = await allocate(50n)
    const amend = (glm: bigint) =>
      payment.allocations.amend(id, allocationId, { totalAmount: glm * GLM, timeout: undefined, deposit: undefined })
    expect((await amend(100n)).totalAmount).toBe(100n * GLM)
    expect(await codeOf(() => amend(101n))).toBe('insufficient-funds')
    await accept('invoices', await sendInvoice(7n), 7n, allocationId)
    expect(await codeOf(() => amend(6n))).toBe('bad-request')
    const both = await Promise.all([amend(90n), amend(90n)])
    expect(both.map(({ totalAmount }) => totalAmount)).toEqual([90n * GLM, 90n * GLM])
    const past = { totalAmount: undefined, timeout: 1, deposit: undefined }
    expect(await codeOf(() => payment.allocations.amend(id, allocationId, past))).toBe('bad-request')
  })

  it('count what is accepted and unpaid as reserved', async () => {
    await open({ payment: { testnetCycleIntervalMs: 60_000 } })
    const { payment, id } = world.requestor
    const { allocationId } = await allocate(10n)
    await accept('invoices', await sendInvoice(10n), 10n, allocationId)
    payment.allocations.release(id, allocationId)
    expect(await codeOf(() => allocate(91n)), 'accepted, not ordered').toBe('insufficient-funds')
    await allocate(90n)
    await world.clock.advance(61_000)
    expect(balances()).toEqual([90n, 10n])
    expect(await codeOf(() => allocate(1n))).toBe('insufficient-funds')
  })

  it('decorate demands with the exact texts that clients take apart', async () => {
    await open()
    const { payment, id } = world.requestor
    const [a, b] = [await allocate(1n), await allocate(1n)]
    const key = `golem.com.payment.platform.${PLATFORM}.address`
    expect(payment.allocations.decorations(id, [a.allocationId])).toEqual({
      properties: [
        { key, value: id },
        { key: 'golem.com.payment.protocol.version', value: '3' },
      ],
      constraints: [`(${key}=*)`, '(golem.com.payment.protocol.version>1)'],
    })
    expect(payment.allocations.decorations(id, [a.allocationId, b.allocationId]).constraints).toEqual([
      `(|\n  (${key}=*)\n  (${key}=*)\n)`,
      '(golem.com.payment.protocol.version>1)',
    ])
    expect(await codeOf(() => payment.allocations.decorations(id, [a.allocationId, 'x']))).toBe('not-found')
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
    const { allocationId } = await allocate(50n)
    let letGo = () => {}
    gate = new Promise((resolve) => {
      letGo = resolve
    })
    const invoiceId = await sendInvoice(50n)
    const late = codeOf(() => allocate(60n))
    await accept('invoices', invoiceId, 50n, allocationId)
    await world.clock.advance(1_000)
    expect(balances()).toEqual([50n, 50n])
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
    const { allocationId } = await allocate()
    await accept('invoices', await sendInvoice(5n), 5n, allocationId)
    await world.clock.advance(10_000)
    expect(balances()).toEqual([100n, 0n])
    isForgetful = false
    await world.requestor.restart()
    await world.clock.advance(1_000)
    expect(balances()).toEqual([95n, 5n])
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
    const { allocationId } = await allocate()
    await accept('invoices', await sendInvoice(5n), 5n, allocationId)
    await world.clock.advance(10_000)
    expect(world.requestor.payment.batches.orders(world.requestor.id)).toEqual([])
    isBroken = false
    await world.clock.advance(60_000)
    expect(balances()).toEqual([95n, 5n])
  })

  it('trouble of the driver is told to those who ask, and its end', async () => {
    await open()
    const { payment, id, mock } = world.requestor
    const { allocationId } = await allocate()
    const trouble = { kind: 'RpcError', driver: 'mock', network: 'local' } as const
    mock.setTrouble(trouble)
    expect(payment.accounts.driverStatus({})).toEqual([trouble])
    expect(payment.accounts.driverStatus({ network: 'nowhere' })).toBeUndefined()
    const invoiceId = await sendInvoice(5n)
    await accept('invoices', invoiceId, 5n, allocationId)
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
    await allocate()
    const { payment, id } = world.requestor
    const warning = { kind: 'InsufficientGas', driver: 'mock', network: 'local', address: id, neededGasEst: '1' }
    expect(payment.accounts.driverStatus({ driver: 'mock', network: 'local' })).toEqual([warning])
  })
})

describe('what is old', () => {
  it('is removed after its time: events, and documents that are over; sums stay', async () => {
    await open({ payment: { eventRetentionMs: 1_000, documentRetentionMs: 5_000, cleanUpIntervalMs: 1_000 } })
    const { allocationId } = await allocate()
    const invoiceId = await sendInvoice(5n)
    await accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(3_000)
    expect(await eventsOf('requestor', 'invoices')).toEqual([])
    expect(statusOf('requestor', 'invoices', invoiceId)).toBe('SETTLED')
    await world.clock.advance(4_000)
    const { payment, id } = world.requestor
    expect(payment.invoices.list(id)).toEqual([])
    expect(payment.sheets.agreement(id, AGREEMENT)?.totalAmountPaid).toBe(5n * GLM)
  })
})

describe('a peer that is away', () => {
  it('hears of an acceptance and a payment later', async () => {
    await open()
    const { allocationId } = await allocate()
    const invoiceId = await sendInvoice(5n)
    world.provider.isOnline = false
    await accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)
    expect(statusOf('requestor', 'invoices', invoiceId)).toBe('SETTLED')
    expect(statusOf('provider', 'invoices', invoiceId)).toBe('RECEIVED')
    world.provider.isOnline = true
    await world.clock.advance(31_000)
    expect(statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    expect(await eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
  })

  it('asks for what it has missed when it starts', async () => {
    await open({ payment: { syncTriesMax: 1, syncInitialMs: 1 } })
    const { allocationId } = await allocate()
    const invoiceId = await sendInvoice(5n)
    world.provider.isOnline = false
    await accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(100_000)
    world.provider.isOnline = true
    await world.clock.advance(100_000)
    expect(statusOf('provider', 'invoices', invoiceId), 'given up').toBe('RECEIVED')
    await world.provider.restart()
    await world.clock.advance(1_000)
    expect(statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
  })

  it('cannot be sent a document, which stays issued', async () => {
    await open()
    const { payment, id } = world.provider
    const issued = invoice(5n)
    world.requestor.isOnline = false
    expect(await codeOf(() => payment.invoices.send(id, issued.invoiceId))).toBe('peer-unreachable')
    expect(statusOf('provider', 'invoices', issued.invoiceId)).toBe('ISSUED')
    world.requestor.isOnline = true
    await payment.invoices.send(id, issued.invoiceId)
    await payment.invoices.send(id, issued.invoiceId)
    expect(statusOf('requestor', 'invoices', issued.invoiceId)).toBe('RECEIVED')
    expect(await eventsOf('requestor', 'invoices')).toEqual(['Received'])
  })
})

describe('rejecting and cancelling', () => {
  const rejection = { rejectionReason: 'BAD_SERVICE', totalAmountAccepted: 0n, message: 'wrong picture' } as const

  it.each(['invoices', 'debitNotes'] as const)('tells the other side of rejected and cancelled %s', async (kind) => {
    await open()
    const send = () => (kind === 'invoices' ? sendInvoice(2n) : sendNote(2n))
    const id = await send()
    await world.requestor.payment[kind].reject(world.requestor.id, id, rejection)
    await world.requestor.payment[kind].reject(world.requestor.id, id, rejection)
    expect(statusOf('provider', kind, id)).toBe('REJECTED')
    const [event] = await world.provider.payment[kind].events(world.provider.id, { timeoutMs: 0 })
    expect(event).toMatchObject({ rejection })
    await world.provider.payment[kind].cancel(world.provider.id, id)
    expect([statusOf('provider', kind, id), statusOf('requestor', kind, id)]).toEqual(['CANCELLED', 'CANCELLED'])
    const { allocationId } = await allocate()
    expect(await codeOf(() => accept(kind, id, 2n, allocationId))).toBe('wrong-state')
  })

  it('cannot take back what is accepted, but can replace what was cancelled', async () => {
    await open()
    const { payment, id } = world.provider
    const first = await sendInvoice(2n)
    await payment.invoices.cancel(id, first)
    const second = await sendInvoice(3n)
    const { allocationId } = await allocate()
    await accept('invoices', second, 3n, allocationId)
    expect(await codeOf(() => payment.invoices.cancel(id, second))).toBe('wrong-state')
    expect(await codeOf(() => world.requestor.payment.invoices.reject(world.requestor.id, second, rejection))).toBe(
      'wrong-state',
    )
  })
})

describe('event feeds', () => {
  it('wake who waits at once, filter before they limit, and never give two events one instant', async () => {
    await open()
    const { payment, id } = world.requestor
    let woken: unknown
    const waiting = payment.invoices.events(id, { timeoutMs: 60_000 }).then((events) => (woken = events))
    await world.clock.advance(10)
    expect(woken).toBeUndefined()
    await sendInvoice(1n)
    await waiting
    expect(woken).toMatchObject([{ eventType: 'InvoiceReceivedEvent' }])
    expect(world.clock.pendingTimers).toBeLessThan(12)
    for (let glm = 1n; glm <= 5n; glm++) await sendNote(glm)
    const page = await payment.debitNotes.events(id, { timeoutMs: 0, max: 2, requestorKinds: ['RECEIVED'] })
    const rest = await payment.debitNotes.events(id, { timeoutMs: 0, afterUs: page.at(-1)!.eventDate })
    expect([page.length, rest.length]).toEqual([2, 3])
    expect(new Set([...page, ...rest].map(({ eventDate }) => eventDate)).size).toBe(5)
    expect(await payment.debitNotes.events(id, { timeoutMs: 0, appSessionId: 'other' })).toEqual([])
    expect(await payment.debitNotes.events(id, { timeoutMs: 0, appSessionId: 'session' })).toHaveLength(5)
  })

  it('let a client go that stops waiting, and everybody at the end', async () => {
    await open()
    const { payment, id } = world.requestor
    const before = world.clock.pendingTimers
    const gone = new AbortController()
    const first = payment.invoices.events(id, { timeoutMs: 60_000, signal: gone.signal })
    const second = payment.payments.poll(id, { timeoutMs: 60_000 })
    gone.abort()
    expect(await first).toEqual([])
    await payment.stop()
    expect(await second).toEqual([])
    expect(world.clock.pendingTimers).toBeLessThanOrEqual(before)
  })
})

describe('restart on a file', () => {
  it('finds everything, and stop leaves no timer', async () => {
    const { mkdtempSync, rmSync } = await import('node:fs')
    const { tmpdir } = await import('node:os')
    const folder = mkdtempSync(`${tmpdir()}/emet-payment-`)
    const path = `${folder}/emet.db`
    let db = openDatabase({ path })
    await open({ db: (side) => (side === 'requestor' ? db : openDatabase({ path: ':memory:' })) })
    const { allocationId } = await allocate()
    const invoiceId = await sendInvoice(5n)
    await world.requestor.payment.stop()
    db.close()
    db = openDatabase({ path })
    await world.requestor.restart(db)
    await accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)
    expect(statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    await world.requestor.payment.stop()
    await world.provider.payment.stop()
    await world.clock.advance(100)
    expect(world.clock.pendingTimers).toBe(0)
    db.close()
    rmSync(folder, { recursive: true })
  })
})
