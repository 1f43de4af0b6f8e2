import { afterEach, expect, test } from 'vitest'
import { approve, createWorld as createBareWorld, rent, terminationOf, type World } from './testing/world.ts'
import { failure, unreachable } from './testing.ts'

const MANY = { 'golem.srv.caps.multi-activity': true }
const ACCEPT_TIMEOUT = 'golem.com.payment.debit-notes.accept-timeout?'
const INTERVAL = 'golem.com.scheme.payu.debit-note.interval-sec?'
const PAYMENT_TIMEOUT = 'golem.com.scheme.payu.payment-timeout-sec?'
const MILLI_GLM = 10n ** 15n
const CODE = 'golem.provider.code'

const worlds: World[] = []
const createWorld = () => {
  const world = createBareWorld()
  worlds.push(world)
  return world
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stopAll()
})

/** Negotiates terms other than the offer's: the provider adopts them in one round. */
async function rentOn(world: World, terms: Record<string, unknown>) {
  await world.startAgent({ negotiation: { minDebitNoteIntervalSec: 1 } })
  return rent(world, terms)
}

test('notes come on schedule from the approval on, with what is due so far', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, { [INTERVAL]: 30, [PAYMENT_TIMEOUT]: 60 })
  for (const seconds of [29, 59, 89]) {
    await clock.advance(29_000)
    expect(daemon.notes.map(({ totalAmountDue }) => totalAmountDue).at(-1) ?? 0n).toBeLessThan(
      BigInt(500 + seconds) * MILLI_GLM,
    )
    daemon.usage.set(activityId, [0, seconds])
    await clock.advance(1_000)
  }
  expect(daemon.notes.map(({ totalAmountDue }) => totalAmountDue)).toEqual(
    [529n, 559n, 589n].map((one) => one * MILLI_GLM),
  )
})

test('a note is payable once per payment timeout, and the last one always', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, { [INTERVAL]: 30, [PAYMENT_TIMEOUT]: 60 })
  await clock.advance(150_000)
  expect(daemon.notes.map(({ paymentDueDate }) => paymentDueDate !== undefined)).toEqual([
    false,
    true,
    false,
    true,
    false,
  ])
  const [, payable] = daemon.notes
  expect(Number(payable?.paymentDueDate) / 1000 - Number(payable?.timestamp) / 1000).toBeCloseTo(60_000, -1)
  daemon.usage.set(activityId, [0, 1])
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(daemon.notes.at(-1)?.paymentDueDate).toBeDefined()
})

test('without a payment timeout no note is payable', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, { [PAYMENT_TIMEOUT]: undefined })
  await clock.advance(250_000)
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(daemon.notes.length).toBeGreaterThan(1)
  expect(daemon.notes.every(({ paymentDueDate }) => paymentDueDate === undefined)).toBe(true)
})

test('a counter that starts over lowers nothing', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, { [INTERVAL]: 30 })
  daemon.usage.set(activityId, [0, 100])
  await clock.advance(30_000)
  daemon.usage.set(activityId, [0, 1])
  await clock.advance(30_000)
  expect(daemon.notes.map(({ totalAmountDue }) => totalAmountDue)).toEqual([600n * MILLI_GLM, 600n * MILLI_GLM])
})

test('usage that does not fit the prices is not billed, and does not hold up the invoice', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, { [INTERVAL]: 30 })
  daemon.usage.set(activityId, [0, 100])
  await clock.advance(30_000)
  daemon.usage.set(activityId, [1, 2, 3, 4, 5])
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ amount: 600n * MILLI_GLM, status: 'RECEIVED' }])
})

test('a note that is not accepted in time ends the agreement', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  daemon.pays = 'never'
  await rentOn(world, { [ACCEPT_TIMEOUT]: 20, [INTERVAL]: 30 })
  await clock.advance(49_000)
  expect(terminationOf(daemon)).toBeUndefined()
  await clock.advance(2_000)
  expect(terminationOf(daemon)).toMatchObject({
    [CODE]: 'DebitNotesDeadline',
    message: expect.stringMatching(/note-\d+: not accepted/),
  })
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
})

test('a note that a newer, accepted one covers is no trouble', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  daemon.pays = 'never'
  await rentOn(world, { [ACCEPT_TIMEOUT]: 60, [INTERVAL]: 30, [PAYMENT_TIMEOUT]: undefined })
  await clock.advance(31_000)
  daemon.pays = 'accepts'
  await clock.advance(300_000)
  expect(daemon.notes[0]?.status).toBe('RECEIVED')
  expect(terminationOf(daemon)).toBeUndefined()
})

test('a payable note that is accepted but not paid in time ends the agreement', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  daemon.pays = 'accepts'
  await rentOn(world, { [INTERVAL]: 30, [PAYMENT_TIMEOUT]: 60 })
  await clock.advance(119_000)
  expect(terminationOf(daemon)).toBeUndefined()
  await clock.advance(2_000)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'DebitNoteNotPaid' })
})

test.each([
  ['REJECTED', 'DebitNoteRejected'],
  ['CANCELLED', 'DebitNoteCancelled'],
] as const)('a note that is %s ends the agreement', async (status, code) => {
  const world = createWorld()
  const { clock, daemon } = world
  daemon.pays = 'never'
  await rentOn(world, { [ACCEPT_TIMEOUT]: 20, [INTERVAL]: 30 })
  await clock.advance(31_000)
  for (const [at, note] of daemon.notes.entries()) daemon.notes[at] = { ...note, status }
  await clock.advance(20_000)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: code })
})

test('the deadlines of a note outlive its activity', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  daemon.pays = 'never'
  const { activityId } = await rentOn(world, { ...MANY, [ACCEPT_TIMEOUT]: 20 })
  daemon.destroyActivity(activityId)
  await clock.advance(21_000)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'DebitNotesDeadline' })
})

test('a requestor that takes no notes for longer than it has to accept them is unreachable', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await rentOn(world, { [ACCEPT_TIMEOUT]: 40, [INTERVAL]: 30 })
  daemon.fails = (name) => (name === 'sendDebitNote' ? failure(504) : undefined)
  await clock.advance(31_000)
  expect(terminationOf(daemon)).toBeUndefined()
  await clock.advance(30_000)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'RequestorUnreachable' })
  expect(daemon.invoices).toEqual([])
  daemon.fails = () => undefined
  await clock.advance(60_000)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
})

test('the time before an activity does not count as silence', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  const agreementId = await approve(world, { [ACCEPT_TIMEOUT]: 40, [INTERVAL]: 30 })
  await clock.advance(80_000)
  daemon.createActivity(agreementId)
  daemon.fails = (name) => (name === 'sendDebitNote' ? failure(504) : undefined)
  await clock.advance(11_000)
  expect(daemon.notes).toHaveLength(1)
  expect(terminationOf(daemon)).toBeUndefined()
})

test('an absence of our own daemon is not the fault of the requestor', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await rentOn(world, { [ACCEPT_TIMEOUT]: 40, [INTERVAL]: 30 })
  daemon.fails = (name) => (name.endsWith('DebitNote') ? unreachable() : undefined)
  await clock.advance(100_000)
  daemon.fails = () => undefined
  await clock.advance(30_000)
  expect(terminationOf(daemon)).toBeUndefined()
  expect(daemon.notes).toMatchObject([{ status: 'SETTLED' }])
})

test('the last note is made once, however often its delivery fails', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, {})
  daemon.fails = (name) => (name === 'sendDebitNote' ? failure(504) : undefined)
  daemon.destroyActivity(activityId)
  await clock.advance(100_000)
  expect(daemon.notes).toHaveLength(1)
  daemon.fails = () => undefined
  await clock.advance(600_000)
  expect(daemon.notes).toHaveLength(1)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
})

test('a last note that the requestor refuses does not hold up the invoice', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId } = await rentOn(world, {})
  daemon.fails = (name) => (name === 'sendDebitNote' ? failure(400) : undefined)
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
})

test('a requestor that cannot be told of the end is billed all the same', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const { activityId, agreementId } = await rentOn(world, {})
  daemon.fails = (name) => (name === 'terminateAgreement' ? failure(500) : undefined)
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
  expect(daemon.agreements.get(agreementId)?.state).toBe('Approved')
  daemon.fails = () => undefined
  await clock.advance(60_000)
  expect(daemon.agreements.get(agreementId)?.state).toBe('Terminated')
})
