import { fromMs } from '@emet/core'
import { afterEach, expect, test } from 'vitest'
import { approve, countOf, createWorld as createBareWorld, rent, terminationOf, type World } from './testing/world.ts'
import { PLATFORM, PROVIDER_ID, REQUESTOR_ID } from './testing.ts'

const MANY = { 'golem.srv.caps.multi-activity': true }
const CODE = 'golem.provider.code'
const MILLI_GLM = 10n ** 15n
const ENDED = { state: ['Terminated', null] as ['Terminated', null] }
const READY = { state: ['Ready', null] as ['Ready', null] }

const worlds: World[] = []
const createWorld = () => {
  const world = createBareWorld()
  worlds.push(world)
  return world
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stopAll()
})

/** A bill of a former life of the agent. */
function addNote({ clock, daemon }: World, agreementId: string, activityId: string, more: object = {}) {
  daemon.notes.push({
    debitNoteId: `old-${daemon.notes.length}`,
    issuerId: PROVIDER_ID,
    recipientId: REQUESTOR_ID,
    payeeAddr: PROVIDER_ID,
    payerAddr: REQUESTOR_ID,
    paymentPlatform: PLATFORM,
    timestamp: fromMs(clock.nowMs()),
    agreementId,
    activityId,
    totalAmountDue: 700n * MILLI_GLM,
    status: 'ACCEPTED',
    ...more,
  })
}

test('an agreement without activity goes on: it holds its place, and takes an activity', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({})
  const agent = await world.startAgent()
  expect(agent.status().rentals).toMatchObject([{ agreementId, state: 'idle' }])
  daemon.propose()
  await clock.advance(10)
  expect(countOf(daemon, 'rejectDemandProposal')).toBe(1)
  daemon.createActivity(agreementId)
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(1)
})

test('an agreement that expired meanwhile is ended', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  daemon.addAgreement({ properties: { 'golem.srv.comp.expiration': clock.nowMs() - 1 } })
  await world.startAgent()
  await clock.advance(10)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'Expired' })
})

test('an activity whose exe-unit was never started is started now', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({})
  const activityId = daemon.createActivity(agreementId)
  await world.startAgent()
  await clock.advance(10)
  expect(exeUnits.launched).toEqual([activityId])
})

test('a running exe-unit is found again and billed on', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({ properties: MANY })
  const activityId = daemon.addActivity(agreementId, READY)
  exeUnits.leave(activityId)
  addNote(world, agreementId, activityId)
  await world.startAgent()
  await clock.advance(121_000)
  expect(exeUnits.launched).toEqual([])
  // Its counters started over: what was told before stands.
  expect(daemon.notes.at(-1)).toMatchObject({ activityId, totalAmountDue: 700n * MILLI_GLM })
  daemon.usage.set(activityId, [0, 300])
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.invoices).toMatchObject([{ amount: 800n * MILLI_GLM, status: 'RECEIVED' }])
})

test('a destruction that was asked for while nobody listened is done now', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({ properties: MANY })
  const activityId = daemon.addActivity(agreementId, READY)
  exeUnits.leave(activityId)
  await clock.advance(1_000)
  daemon.destroyActivity(activityId)
  await clock.advance(1_000)
  await world.startAgent()
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.agreements.get(agreementId)?.state).toBe('Approved')
})

test('an exe-unit that is lost is reported and billed, not replaced', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({})
  const activityId = daemon.addActivity(agreementId, READY)
  daemon.usage.set(activityId, [0, 100])
  await world.startAgent()
  await clock.advance(10)
  expect(exeUnits.launched).toEqual([])
  expect(daemon.states.get(activityId)).toMatchObject({ state: ['Terminated', null], reason: 'execution aborted' })
  expect(daemon.invoices).toMatchObject([{ agreementId, amount: 600n * MILLI_GLM, status: 'RECEIVED' }])
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'Success' })
})

test('an activity that ended without its last note gets it, and one that has it gets no other', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agreementId = daemon.addAgreement({ properties: MANY })
  const [unbilled, billed] = [daemon.addActivity(agreementId, ENDED), daemon.addActivity(agreementId, ENDED)]
  daemon.usage.set(billed, [0, 200])
  addNote(world, agreementId, billed, { paymentDueDate: fromMs(clock.nowMs() + 60_000), status: 'SETTLED' })
  await world.startAgent()
  await clock.advance(10)
  expect(daemon.notes).toHaveLength(2)
  expect(daemon.notes.at(-1)).toMatchObject({ activityId: unbilled, totalAmountDue: 500n * MILLI_GLM })
  expect(daemon.agreements.get(agreementId)?.state).toBe('Approved')
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ amount: 1_200n * MILLI_GLM }])
})

test('a refused activity stays unbilled over a restart', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({ properties: MANY })
  daemon.addActivity(agreementId, { ...ENDED, reason: 'creation failed' })
  await world.startAgent()
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(exeUnits.launched).toEqual([])
  expect(daemon.notes).toEqual([])
  expect(daemon.invoices).toEqual([])
})

test('an agreement that was invoiced but not ended is ended, and not invoiced again', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  const { activityId, agreementId } = await rent(world, MANY)
  daemon.terminate(agreementId)
  await clock.advance(10)
  await agent.stop()
  const agreement = daemon.agreements.get(agreementId)
  if (agreement) daemon.agreements.set(agreementId, { ...agreement, state: 'Approved' })
  await world.startAgent()
  await clock.advance(10)
  expect(daemon.agreements.get(agreementId)?.state).toBe('Terminated')
  expect(daemon.invoices).toMatchObject([{ activityIds: [activityId] }])
})

test('an agreement that ended while the agent was away: its exe-unit is stopped, its bill made and sent', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agreementId = daemon.addAgreement({ state: 'Terminated', properties: MANY })
  const [ended, running] = [daemon.addActivity(agreementId, ENDED), daemon.addActivity(agreementId, READY)]
  exeUnits.leave(running)
  daemon.usage.set(ended, [0, 100])
  daemon.usage.set(running, [0, 200])
  await world.startAgent()
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.invoices).toMatchObject([{ amount: 1_300n * MILLI_GLM, status: 'RECEIVED' }])
  expect(new Set(daemon.invoices[0]?.activityIds)).toEqual(new Set([ended, running]))
  expect(countOf(daemon, 'terminateAgreement')).toBe(0)
  // It has not taken the only place.
  await approve(world)
})

test('an invoice that was made but not delivered is delivered, and delivered ones are left alone', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  const first = await rent(world)
  daemon.terminate(first.agreementId)
  await clock.advance(10)
  await agent.stop()
  const [invoice] = daemon.invoices
  if (invoice) daemon.invoices[0] = { ...invoice, status: 'ISSUED' }
  const sent = countOf(daemon, 'sendInvoice')
  await world.startAgent()
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
  expect(countOf(daemon, 'sendInvoice')).toBe(sent + 1)
  const third = await world.startAgent()
  await clock.advance(10)
  expect(countOf(daemon, 'sendInvoice')).toBe(sent + 1)
  expect(third.status().rentals).toEqual([])
})

test('the schedule of payable notes and their deadlines survive a restart', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  daemon.pays = 'accepts'
  const agreementId = daemon.addAgreement({ properties: MANY })
  const activityId = daemon.addActivity(agreementId, READY)
  exeUnits.leave(activityId)
  await clock.advance(100_000)
  // Made 100 s after the approval; due 300 s after it.
  addNote(world, agreementId, activityId, { paymentDueDate: fromMs(clock.nowMs() + 200_000) })
  await clock.advance(10_000)
  await world.startAgent()
  await clock.advance(11_000)
  // The tick at 120 s: the last payable note is 20 s old.
  expect(daemon.notes.at(-1)).toMatchObject({ activityId })
  expect(daemon.notes.at(-1)?.paymentDueDate).toBeUndefined()
  await clock.advance(178_000)
  expect(terminationOf(daemon)).toBeUndefined()
  await clock.advance(2_000)
  expect(terminationOf(daemon)).toMatchObject({ [CODE]: 'DebitNoteNotPaid', message: expect.stringContaining('old-0') })
})

test('offers of a former life are withdrawn', async () => {
  const world = createWorld()
  const { daemon } = world
  await daemon.client.market.createOffer({ body: { properties: {}, constraints: '()' } })
  await world.startAgent()
  expect(daemon.offers.size).toBe(1)
  expect([...daemon.offers.values()][0]?.properties).toMatchObject({ 'golem.runtime.name': 'wasmtime' })
})

test('an agreement that nobody understands does not hold up the others', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const odd = daemon.addAgreement({})
  const agreement = daemon.agreements.get(odd)
  if (agreement) daemon.agreements.set(odd, { ...agreement, offer: { ...agreement.offer, properties: {} } })
  const agent = await world.startAgent()
  daemon.createActivity(odd)
  await clock.advance(10)
  expect(agent.status().rentals).toEqual([])
  await rent(world)
})

test('bills are found although the clock of the requestor is ahead of ours', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const timestamp = fromMs(clock.nowMs() + 600_000)
  const agreementId = daemon.addAgreement({ timestamp, approvedDate: timestamp })
  const activityId = daemon.addActivity(agreementId, ENDED)
  daemon.usage.set(activityId, [0, 200])
  addNote(world, agreementId, activityId, { paymentDueDate: fromMs(clock.nowMs() + 60_000), status: 'SETTLED' })
  await world.startAgent()
  await clock.advance(10)
  expect(daemon.notes).toHaveLength(1)
  expect(daemon.invoices).toHaveLength(1)
})
