import { afterEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../store/index.ts'
import { AGREEMENT, createWorld, GLM, PLATFORM, type World, type WorldOptions } from './testing/index.ts'
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

describe('allocations', () => {
  it('are released by hand once, and by themselves when their time is up, also while the node was off', async () => {
    await open()
    const { payment, id } = world.requestor
    const first = await trade.allocate(60n)
    payment.allocations.release(id, first.allocationId)
    expect(await codeOf(() => payment.allocations.release(id, first.allocationId))).toBe('allocation-released')
    expect(await codeOf(() => payment.allocations.get(id, first.allocationId))).toBe('not-found')
    const timed = await payment.allocations.amend(id, (await trade.allocate(100n)).allocationId, {
      totalAmount: undefined,
      timeout: (world.clock.nowMs() + 5_000) * 1000,
      deposit: undefined,
    })
    await world.clock.advance(4_999)
    expect(await codeOf(() => trade.allocate(1n))).toBe('insufficient-funds')
    await world.clock.advance(2)
    expect(await codeOf(() => payment.allocations.get(id, timed.allocationId))).toBe('not-found')
    const again = await trade.allocate(100n)
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
    const { allocationId } = await trade.allocate(50n)
    const amend = (glm: bigint) =>
      payment.allocations.amend(id, allocationId, { totalAmount: glm * GLM, timeout: undefined, deposit: undefined })
    expect((await amend(100n)).totalAmount).toBe(100n * GLM)
    expect(await codeOf(() => amend(101n))).toBe('insufficient-funds')
    await trade.accept('invoices', await trade.sendInvoice(7n), 7n, allocationId)
    expect(await codeOf(() => amend(6n))).toBe('bad-request')
    const both = await Promise.all([amend(90n), amend(90n)])
    expect(both.map(({ totalAmount }) => totalAmount)).toEqual([90n * GLM, 90n * GLM])
    const past = { totalAmount: undefined, timeout: 1, deposit: undefined }
    expect(await codeOf(() => payment.allocations.amend(id, allocationId, past))).toBe('bad-request')
  })

  it('count what is accepted and unpaid as reserved', async () => {
    await open({ payment: { testnetCycleIntervalMs: 60_000 } })
    const { payment, id } = world.requestor
    const { allocationId } = await trade.allocate(10n)
    await trade.accept('invoices', await trade.sendInvoice(10n), 10n, allocationId)
    payment.allocations.release(id, allocationId)
    expect(await codeOf(() => trade.allocate(91n)), 'accepted, not ordered').toBe('insufficient-funds')
    await trade.allocate(90n)
    await world.clock.advance(61_000)
    expect(trade.balances()).toEqual([90n, 10n])
    expect(await codeOf(() => trade.allocate(1n))).toBe('insufficient-funds')
  })

  it('decorate demands with the exact texts that clients take apart', async () => {
    await open()
    const { payment, id } = world.requestor
    const [a, b] = [await trade.allocate(1n), await trade.allocate(1n)]
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

describe('what is old', () => {
  it('is removed after its time: events, and documents that are over; sums stay', async () => {
    await open({ payment: { eventRetentionMs: 1_000, documentRetentionMs: 5_000, cleanUpIntervalMs: 1_000 } })
    const { allocationId } = await trade.allocate()
    const invoiceId = await trade.sendInvoice(5n)
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(3_000)
    expect(await trade.eventsOf('requestor', 'invoices')).toEqual([])
    expect(trade.statusOf('requestor', 'invoices', invoiceId)).toBe('SETTLED')
    await world.clock.advance(4_000)
    const { payment, id } = world.requestor
    expect(payment.invoices.list(id)).toEqual([])
    expect(payment.sheets.agreement(id, AGREEMENT)?.totalAmountPaid).toBe(5n * GLM)
  })
})

describe('a peer that is away', () => {
  it('hears of an acceptance and a payment later', async () => {
    await open()
    const { allocationId } = await trade.allocate()
    const invoiceId = await trade.sendInvoice(5n)
    world.provider.isOnline = false
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.statusOf('requestor', 'invoices', invoiceId)).toBe('SETTLED')
    expect(trade.statusOf('provider', 'invoices', invoiceId)).toBe('RECEIVED')
    world.provider.isOnline = true
    await world.clock.advance(31_000)
    expect(trade.statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    expect(await trade.eventsOf('provider', 'invoices')).toEqual(['Accepted', 'Settled'])
  })

  it('asks for what it has missed when it starts', async () => {
    await open({ payment: { syncTriesMax: 1, syncInitialMs: 1 } })
    const { allocationId } = await trade.allocate()
    const invoiceId = await trade.sendInvoice(5n)
    world.provider.isOnline = false
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(100_000)
    world.provider.isOnline = true
    await world.clock.advance(100_000)
    expect(trade.statusOf('provider', 'invoices', invoiceId), 'given up').toBe('RECEIVED')
    await world.provider.restart()
    await world.clock.advance(1_000)
    expect(trade.statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
  })

  it('cannot be sent a document, which stays issued', async () => {
    await open()
    const { payment, id } = world.provider
    const issued = trade.invoice(5n)
    world.requestor.isOnline = false
    expect(await codeOf(() => payment.invoices.send(id, issued.invoiceId))).toBe('peer-unreachable')
    expect(trade.statusOf('provider', 'invoices', issued.invoiceId)).toBe('ISSUED')
    world.requestor.isOnline = true
    await payment.invoices.send(id, issued.invoiceId)
    await payment.invoices.send(id, issued.invoiceId)
    expect(trade.statusOf('requestor', 'invoices', issued.invoiceId)).toBe('RECEIVED')
    expect(await trade.eventsOf('requestor', 'invoices')).toEqual(['Received'])
  })
})

describe('rejecting and cancelling', () => {
  const rejection = { rejectionReason: 'BAD_SERVICE', totalAmountAccepted: 0n, message: 'wrong picture' } as const

  it.each(['invoices', 'debitNotes'] as const)('tells the other side of rejected and cancelled %s', async (kind) => {
    await open()
    const send = () => (kind === 'invoices' ? trade.sendInvoice(2n) : trade.sendNote(2n))
    const id = await send()
    await world.requestor.payment[kind].reject(world.requestor.id, id, rejection)
    await world.requestor.payment[kind].reject(world.requestor.id, id, rejection)
    expect(trade.statusOf('provider', kind, id)).toBe('REJECTED')
    const [event] = await world.provider.payment[kind].events(world.provider.id, { timeoutMs: 0 })
    expect(event).toMatchObject({ rejection })
    await world.provider.payment[kind].cancel(world.provider.id, id)
    expect([trade.statusOf('provider', kind, id), trade.statusOf('requestor', kind, id)]).toEqual([
      'CANCELLED',
      'CANCELLED',
    ])
    const { allocationId } = await trade.allocate()
    expect(await codeOf(() => trade.accept(kind, id, 2n, allocationId))).toBe('wrong-state')
  })

  it('cannot take back what is accepted, but can replace what was cancelled', async () => {
    await open()
    const { payment, id } = world.provider
    const first = await trade.sendInvoice(2n)
    await payment.invoices.cancel(id, first)
    const second = await trade.sendInvoice(3n)
    const { allocationId } = await trade.allocate()
    await trade.accept('invoices', second, 3n, allocationId)
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
    await trade.sendInvoice(1n)
    await waiting
    expect(woken).toMatchObject([{ eventType: 'InvoiceReceivedEvent' }])
    expect(world.clock.pendingTimers).toBeLessThan(12)
    for (let glm = 1n; glm <= 5n; glm++) await trade.sendNote(glm)
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
    const { allocationId } = await trade.allocate()
    const invoiceId = await trade.sendInvoice(5n)
    await world.requestor.payment.stop()
    db.close()
    db = openDatabase({ path })
    await world.requestor.restart(db)
    await trade.accept('invoices', invoiceId, 5n, allocationId)
    await world.clock.advance(1_000)
    expect(trade.statusOf('provider', 'invoices', invoiceId)).toBe('SETTLED')
    await world.requestor.payment.stop()
    await world.provider.payment.stop()
    await world.clock.advance(100)
    expect(world.clock.pendingTimers).toBe(0)
    db.close()
    rmSync(folder, { recursive: true })
  })
})
