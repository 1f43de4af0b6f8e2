import type { Agreement } from '@emet/core'
import { afterEach, expect, test } from 'vitest'
import { approve, countOf, createWorld as createBareWorld, rent, terminationOf, type World } from './testing/world.ts'
import { failure, unreachable } from './testing.ts'

const MANY = { 'golem.srv.caps.multi-activity': true }
const GLM = 10n ** 18n

const worlds: World[] = []
const createWorld = () => {
  const world = createBareWorld()
  worlds.push(world)
  return world
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stopAll()
})

test('a whole rental: offer, negotiation, activity, debit note, end, invoice', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agent = await world.startAgent()
  expect(agent.status().presets).toEqual(['wasm'])
  const { agreementId, activityId } = await rent(world)
  expect(agent.status().rentals).toEqual([{ agreementId, state: 'computing', activities: 1 }])

  daemon.usage.set(activityId, [30, 100])
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  // 0.5 + 30 cpu_sec * 0.002 + 100 duration_sec * 0.001
  const amount = (66n * GLM) / 100n
  expect(daemon.notes).toMatchObject([{ activityId, totalAmountDue: amount, usageCounterVector: [30, 100] }])
  expect(daemon.notes[0]?.paymentDueDate).toBeDefined()
  expect(daemon.agreements.get(agreementId)?.state).toBe('Terminated')
  expect(terminationOf(daemon)).toEqual({ message: 'Finished with success.', 'golem.provider.code': 'Success' })
  expect(daemon.invoices).toMatchObject([{ agreementId, activityIds: [activityId], amount, status: 'RECEIVED' }])
  expect(agent.status().rentals).toEqual([])
})

test('several activities, one after the other, when that was agreed', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  const { agreementId, activityId: first } = await rent(world, MANY)
  daemon.usage.set(first, [0, 100])
  daemon.destroyActivity(first)
  await clock.advance(10)
  expect(daemon.agreements.get(agreementId)?.state).toBe('Approved')
  const second = daemon.createActivity(agreementId)
  await clock.advance(10)
  daemon.usage.set(second, [0, 200])
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ activityIds: [first, second], amount: (13n * GLM) / 10n }])
  expect(countOf(daemon, 'terminateAgreement')).toBe(0)
})

test('a second activity while one runs is refused, and not billed', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  const { agreementId, activityId } = await rent(world, MANY)
  const second = daemon.createActivity(agreementId)
  await clock.advance(10)
  expect(daemon.states.get(second)).toMatchObject({
    state: ['Terminated', null],
    reason: 'creation failed',
    errorMessage: 'Only single Activity allowed',
  })
  expect(exeUnits.launched).toEqual([activityId])
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(daemon.invoices).toMatchObject([{ activityIds: [activityId] }])
})

test('an agreement without activity is ended, and never invoiced', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  await approve(world)
  await clock.advance(89_000)
  expect(terminationOf(daemon)).toBeUndefined()
  await clock.advance(2_000)
  expect(terminationOf(daemon)).toMatchObject({ 'golem.provider.code': 'NoActivity' })
  expect(daemon.invoices).toEqual([])
})

test('an agreement ends when it expires, with its exe-unit and a bill', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  await rent(world, { 'golem.srv.comp.expiration': clock.nowMs() + 400_000 })
  await clock.advance(401_000)
  expect(terminationOf(daemon)).toMatchObject({ 'golem.provider.code': 'Expired' })
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
})

test('an exe-unit that crashes is reported, billed, and ends a rental of one activity', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  const { activityId, unit } = await rent(world)
  daemon.usage.set(activityId, [1, 2])
  unit.exit({ code: 3 })
  await clock.advance(10)
  expect(daemon.states.get(activityId)).toEqual({
    state: ['Terminated', null],
    reason: 'execution error',
    errorMessage: 'the exe-unit exited with code 3',
  })
  expect(daemon.invoices).toMatchObject([{ amount: 504n * 10n ** 15n, status: 'RECEIVED' }])
})

test('an exe-unit that cannot be started costs nothing', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  exeUnits.refusal = new Error('no such program')
  const agreementId = await approve(world)
  const activityId = daemon.createActivity(agreementId)
  await clock.advance(10)
  expect(daemon.states.get(activityId)).toMatchObject({ reason: 'creation failed', errorMessage: 'no such program' })
  expect(daemon.notes).toEqual([])
  expect(daemon.invoices).toEqual([])
  expect(daemon.agreements.get(agreementId)?.state).toBe('Terminated')
})

test('an activity that is destroyed while its exe-unit starts is ended as soon as it has', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  const { promise, resolve } = Promise.withResolvers<void>()
  exeUnits.gate = promise
  const agreementId = await approve(world, MANY)
  const activityId = daemon.createActivity(agreementId)
  await clock.advance(10)
  daemon.destroyActivity(activityId)
  await clock.advance(10)
  expect(exeUnits.launched).toEqual([activityId])
  resolve()
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.states.get(activityId)?.state[0]).toBe('Terminated')
})

test('an agreement that ends while its exe-unit starts leaves nothing running', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  const { promise, resolve } = Promise.withResolvers<void>()
  exeUnits.gate = promise
  const agreementId = await approve(world)
  daemon.createActivity(agreementId)
  await clock.advance(10)
  daemon.terminate(agreementId)
  await clock.advance(10)
  resolve()
  await clock.advance(10)
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.invoices).toMatchObject([{ agreementId, status: 'RECEIVED' }])
})

test('what comes before the answer to our approval is not lost', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  // The answer breaks off, though the approval has happened.
  const approved = daemon.client.market.approveAgreement
  Object.assign(daemon.client.market, {
    approveAgreement: async (given: Parameters<typeof approved>[0]) => {
      await approved(given)
      daemon.createActivity(given.params.agreementId)
      await clock.sleep(5_000)
      throw unreachable()
    },
  })
  await approve(world)
  expect(exeUnits.running.size).toBe(1)
  await clock.advance(6_000)
  expect(exeUnits.running.size).toBe(1)
  expect(exeUnits.launched).toHaveLength(1)
})

test('an approval whose answer breaks off holds its place', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  const approved = daemon.client.market.approveAgreement
  Object.assign(daemon.client.market, {
    approveAgreement: async (given: Parameters<typeof approved>[0]) => {
      await approved(given)
      await clock.sleep(1_000)
      throw unreachable()
    },
  })
  const agreementId = await approve(world)
  await clock.advance(2_000)
  expect(agent.status().rentals).toMatchObject([{ agreementId, state: 'idle' }])
  daemon.propose()
  await clock.advance(10)
  expect(countOf(daemon, 'rejectDemandProposal')).toBe(1)
})

test('a commitment that comes after our approval has timed out counts', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  daemon.fails = (name) => (name === 'approveAgreement' ? failure(500) : undefined)
  daemon.propose()
  await clock.advance(10)
  const agreementId = daemon.proposeAgreement()
  await clock.advance(10)
  expect(agent.status().rentals).toEqual([])
  daemon.commit(agreementId)
  await clock.advance(10)
  expect(agent.status().rentals).toMatchObject([{ agreementId, state: 'idle' }])
})

test('an agreement that is over by the time we look at what was approved frees its place', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  const { approveAgreement, getAgreement } = daemon.client.market
  let stale: Agreement | undefined
  Object.assign(daemon.client.market, {
    getAgreement: async (given: Parameters<typeof getAgreement>[0]) => stale ?? getAgreement(given),
    approveAgreement: async (given: Parameters<typeof approveAgreement>[0]) => {
      const { agreementId } = given.params
      await approveAgreement(given)
      const approved = daemon.agreements.get(agreementId)
      daemon.terminate(agreementId)
      await clock.sleep(1_000)
      stale = approved
    },
  })
  daemon.propose()
  await clock.advance(10)
  daemon.proposeAgreement()
  await clock.advance(2_000)
  expect(stale?.state).toBe('Approved')
  stale = undefined
  Object.assign(daemon.client.market, { approveAgreement })
  expect(agent.status().rentals).toEqual([])
  await approve(world)
})

test('an agreement that is approved while the agent stops is ended as well', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  const agent = await world.startAgent()
  const { approveAgreement: approved, terminateAgreement } = daemon.client.market
  Object.assign(daemon.client.market, {
    approveAgreement: async (given: Parameters<typeof approved>[0]) => {
      await clock.sleep(500)
      return approved(given)
    },
    terminateAgreement: async (given: Parameters<typeof terminateAgreement>[0]) => {
      await clock.sleep(100, given.signal)
      return terminateAgreement(given)
    },
  })
  daemon.propose()
  await clock.advance(10)
  const agreementId = daemon.proposeAgreement()
  await clock.advance(10)
  const stopped = agent.stop()
  await clock.advance(700)
  await stopped
  expect(daemon.agreements.get(agreementId)?.state).toBe('Terminated')
  expect(terminationOf(daemon)).toMatchObject({ 'golem.provider.code': 'Shutdown' })
})

test('an approval that the requestor has forestalled frees the place', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  daemon.fails = (name) => (name === 'approveAgreement' ? failure(410) : undefined)
  daemon.propose()
  await clock.advance(10)
  daemon.proposeAgreement()
  await clock.advance(10)
  daemon.fails = () => undefined
  await approve(world)
})

test('when all places are taken, demands wait, and are answered when one is free', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  const { agreementId } = await rent(world)
  const late = daemon.propose()
  await clock.advance(10)
  const refused = daemon.calls.filter(({ name }) => name === 'rejectDemandProposal').at(-1)?.body
  expect(refused).toMatchObject({ 'golem.proposal.rejection.is-final': false })
  const before = countOf(daemon, 'counterDemandProposal')
  daemon.terminate(agreementId)
  await clock.advance(10)
  expect(countOf(daemon, 'counterDemandProposal')).toBe(before + 1)
  expect(countOf(daemon, 'rejectDemandProposal')).toBe(1)
  expect(late).toBeDefined()
  await approve(world)
})

test('an agreement on other terms than ours is rejected', async () => {
  const world = createWorld()
  const { clock, daemon } = world
  await world.startAgent()
  const agreementId = daemon.proposeAgreement({ 'golem.com.scheme.payu.debit-note.interval-sec?': 30 })
  await clock.advance(10)
  expect(daemon.agreements.get(agreementId)?.state).toBe('Rejected')
  await approve(world)
})

test('an expired offer is published again', async () => {
  const { clock, daemon, startAgent } = createWorld()
  await startAgent()
  const [offerId] = [...daemon.offers.keys()]
  daemon.expire(String(offerId))
  await clock.advance(2_000)
  expect(daemon.offers.size).toBe(1)
  expect(daemon.offers.has(String(offerId))).toBe(false)
})

test('a daemon that is away for a minute changes nothing', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  await world.startAgent()
  const { agreementId, activityId } = await rent(world)
  daemon.fails = () => unreachable()
  await clock.advance(60_000)
  daemon.fails = () => undefined
  await clock.advance(120_000)
  expect(exeUnits.running.size).toBe(1)
  expect(daemon.notes.length).toBeGreaterThan(0)
  daemon.destroyActivity(activityId)
  await clock.advance(30_000)
  expect(daemon.invoices).toMatchObject([{ agreementId, status: 'RECEIVED' }])
})

test('stop() ends agreements, exe-units, offers and polls', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits, folder } = world
  const agent = await world.startAgent()
  await rent(world)
  await agent.stop()
  expect(terminationOf(daemon)).toMatchObject({ 'golem.provider.code': 'Shutdown' })
  expect(daemon.invoices).toMatchObject([{ status: 'RECEIVED' }])
  expect(exeUnits.running.size).toBe(0)
  expect(daemon.offers.size).toBe(0)
  expect(daemon.waiting).toBe(0)
  expect(folder.watchers).toBe(0)
  expect(clock.pendingTimers).toBe(0)
})

test('stop() does not wait for an exe-unit that does not obey, nor for a daemon that is away', async () => {
  const world = createWorld()
  const { clock, daemon, exeUnits } = world
  const agent = await world.startAgent()
  const { unit } = await rent(world)
  exeUnits.obeys = false
  daemon.fails = () => unreachable()
  const startedMs = clock.nowMs()
  let tookMs = Number.POSITIVE_INFINITY
  const stopped = agent.stop().then(() => {
    tookMs = clock.nowMs() - startedMs
  })
  await clock.advance(10_000)
  await stopped
  expect(tookMs).toBeLessThan(2_000)
  expect(unit.isKilled).toBe(true)
  expect(clock.pendingTimers).toBe(0)
})

test('a start that fails leaves nothing running', async () => {
  const { clock, daemon, startAgent } = createWorld()
  daemon.fails = (name) => (name === 'listAgreements' ? failure(500) : undefined)
  await expect(startAgent()).rejects.toThrow('500')
  expect(daemon.waiting).toBe(0)
  expect(clock.pendingTimers).toBe(0)
})

test.each([
  ['a runtime', (world: World) => Object.assign(world.exeUnits, { runtimes: async () => [] }), /no runtime passes/],
  [
    'an account',
    (world: World) => Object.assign(world.daemon.client.payment, { getProviderAccounts: async () => [] }),
    /no account/,
  ],
])('without %s there is nothing to start', async (_what, take, message) => {
  const world = createWorld()
  take(world)
  await expect(world.startAgent()).rejects.toThrow(message)
})
