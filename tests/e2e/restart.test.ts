/** Every process of a rental dies once, in the middle of it, and the rental goes on: real processes, killed with SIGKILL. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTrial, type Trial, until } from './trial.ts'

let trial: Trial
beforeAll(async () => {
  trial = await startTrial(2)
}, 60_000)
afterAll(async () => {
  await trial?.stop()
  expect(trial.processes()).toEqual([])
}, 30_000)

test('a provider’s daemon dies while a program runs: the exe-unit survives it and the rental goes on', {
  timeout: 60_000,
}, async () => {
  const agent = trial.pidOf('provider-1-agent')
  const busy = await trial.rentBusy(0)
  const { activityId, agreementId } = busy.rental
  await trial.without(['provider-1'])

  const { client } = trial.provider(0)
  await until('the exe-unit has attached again', async () => {
    const { state } = await client.activity.getState({ params: { activityId }, query: {} })
    return state[0] === 'Ready'
  })
  expect(await busy.finish()).toContain('the end')
  expect(trial.processes(`service-bus ${activityId} `)).toEqual([expect.stringMatching(`^${busy.exeUnit} `)])
  expect(trial.pidOf('provider-1-agent')).toBe(agent)
  const receipt = await busy.settle()
  expect(receipt).toMatchObject({ agreementId, refused: [] })
  expect(receipt.accepted).toBeGreaterThan(0n)
  const notes = await notesOf(activityId)
  expect(notes.at(-1)?.totalAmountDue).toBe(receipt.accepted)
})

test('a provider agent dies while a program runs: the new one takes the rental over and bills it', {
  timeout: 60_000,
}, async () => {
  const busy = await trial.rentBusy(1)
  await trial.without(['provider-2-agent'])
  expect(await busy.finish()).toContain('the end')
  expect(trial.processes(`service-bus ${busy.rental.activityId} `)).toEqual([
    expect.stringMatching(`^${busy.exeUnit} `),
  ])
  const receipt = await busy.settle()
  expect(receipt.refused).toEqual([])
  const notes = await notesOf(receipt.activityId)
  expect(notes.at(-1)?.totalAmountDue).toBe(receipt.accepted)
})

test('a requestor’s daemon dies during a rental: all is there again, and the bill that came meanwhile is paid once', {
  timeout: 60_000,
}, async () => {
  // Without this property the provider waits for a further activity.
  const busy = await trial.rentBusy(0, { properties: { 'golem.srv.caps.multi-activity': false } })
  const { activityId } = busy.rental
  const demandId = await trial.requestor.market.createDemand({
    body: { properties: { 'golem.node.debug.subnet': 'nowhere' }, constraints: '()' },
  })
  const before = await everything()
  const { client } = trial.provider(0)
  await trial.without(['requestor'], async () => {
    process.kill(busy.exeUnit, 'SIGTERM')
    await until('the provider has made the last debit note', async () => {
      const { state } = await client.activity.getState({ params: { activityId }, query: {} })
      const all = await client.payment.listDebitNotes({ query: {} })
      return state[0] === 'Terminated' && all.some((note) => note.activityId === activityId && note.status === 'ISSUED')
    })
  })
  expect(before.demands.map(({ demandId }) => demandId)).toContain(demandId)
  expect(await everything()).toEqual(before)
  const receipt = await busy.settle()
  expect(receipt.refused).toEqual([])
  expect((await notesOf(activityId)).at(-1)?.totalAmountDue).toBe(receipt.accepted)
})

test('both daemons die again and again: the program’s result arrives, and its bill is paid once', {
  timeout: 60_000,
}, async () => {
  const busy = await trial.rentBusy(0)
  await trial.without(['requestor'])
  expect(await busy.finish()).toContain('the end')
  let closing: Promise<unknown> | undefined
  await trial.without(['provider-1'], async () => {
    closing = busy.rental.close()
  })
  await closing
  expect(busy.rental.receipt().accepted).toBeGreaterThan(0n)
  // The bill has just been accepted, its payment is about to be made or under way.
  await trial.without(['requestor', 'provider-1'])
  await busy.settle()
})

test('an exe-unit is killed: its requestor is told why, its neighbour works on, and nothing is left of it', {
  timeout: 60_000,
}, async () => {
  const [struck, neighbour] = await Promise.all([trial.rentBusy(0), trial.rentBusy(1)])
  const { activityId } = struck.rental
  process.kill(struck.exeUnit, 'SIGKILL')
  const ended = await until('the requestor sees the end', async () => {
    const found = await trial.requestor.activity.getState({ params: { activityId }, query: {} })
    return found.state[0] === 'Terminated' && found
  })
  expect(`${ended.reason} ${ended.errorMessage}`).toContain('SIGKILL')
  await expect(struck.run.result).rejects.toMatchObject({
    code: 'activity.lost',
    message: expect.stringContaining('SIGKILL'),
  })
  await until('nothing of it runs or is kept but its log', () => {
    expect(trial.processes(activityId)).toEqual([])
    expect(trial.filesNamed(activityId)).toEqual([expect.stringMatching(/\.log$/)])
    return true
  })
  expect((await struck.settle()).accepted).toBeGreaterThan(0n)
  expect(await neighbour.finish()).toContain('the end')
  await neighbour.settle()
})

test('a provider’s machine loses its power: the activity ends with a reason, and what was used is paid once', {
  timeout: 60_000,
}, async () => {
  const busy = await trial.rentBusy(0)
  const { activityId, agreementId } = busy.rental
  await trial.without(['provider-1-agent', 'provider-1'], async () => process.kill(busy.exeUnit, 'SIGKILL'))
  await expect(busy.run.result).rejects.toMatchObject({ code: 'activity.lost' })
  const { errorMessage } = await until('the requestor sees the end', async () => {
    const found = await trial.requestor.activity.getState({ params: { activityId }, query: {} })
    return found.state[0] === 'Terminated' && found
  })
  expect(errorMessage).toContain('while the provider agent was away')
  const receipt = await busy.settle()
  expect(receipt.refused).toEqual([])
  expect(trial.processes(activityId)).toEqual([])
  await until('its folders are gone', () => trial.filesNamed(agreementId).length === 0)
})

test('the relay dies and comes back: new offers reach new demands through it again', { timeout: 60_000 }, async () => {
  await trial.without(['relay'])
  const { client, nodeId } = trial.provider(0)
  const properties = { 'golem.node.debug.subnet': 'public', 'test.fresh': true }
  const subscriptionId = await client.market.createOffer({ body: { properties, constraints: '()' } })
  expect(await findOffers('(test.fresh=true)', 1)).toEqual(new Set([nodeId]))
  await client.market.deleteOffer({ params: { subscriptionId } })
})

test('offers outlive the end of every daemon, and are found by a new demand within seconds', {
  timeout: 60_000,
}, async () => {
  const { client, nodeId } = trial.provider(1)
  const offers = await client.market.listOffers()
  expect(offers).toHaveLength(1)
  const demand = await createDemand('(test.later=true)')
  // The agent would publish anew.
  await trial.without(['provider-2-agent'], async () => {
    await trial.without(['requestor', 'provider-2', 'relay'])
    const startedMs = performance.now()
    expect(await client.market.listOffers()).toEqual(offers)
    expect(await findOffers(`(golem.node.id.name=provider-2)`, 1)).toEqual(new Set([nodeId]))
    expect(performance.now() - startedMs).toBeLessThan(10_000)
  })
  // The demand of before has outlived it too: it finds what is published only now.
  const later = { properties: { 'golem.node.debug.subnet': 'public', 'test.later': true }, constraints: '()' }
  await trial.provider(0).client.market.createOffer({ body: later })
  expect(await offersFor(demand, 1)).toEqual(new Set([trial.provider(0).nodeId]))
  const anew = await until('the agent has replaced its offer', async () => {
    const now = await client.market.listOffers()
    return now.length === 1 && now[0]?.offerId !== offers[0]?.offerId && now
  })
  expect(anew).toHaveLength(1)
})

/** Debit notes of an activity, oldest first, as the requestor has them. */
async function notesOf(activityId: string | undefined) {
  const notes = await trial.requestor.payment.listDebitNotes({ query: {} })
  return notes.filter((note) => note.activityId === activityId).sort((one, other) => one.timestamp - other.timestamp)
}

/** What the requestor's daemon has to remember. */
async function everything() {
  const { market, payment, emet } = trial.requestor
  const agreements = await market.listAgreements({ query: {} })
  return {
    demands: await market.listDemands(),
    agreements: agreements.map(({ id, role }) => ({ id, role })),
    allocations: (await payment.listAllocations({ query: {} })).map(({ allocationId, totalAmount }) => {
      return { allocationId, totalAmount }
    }),
    activities: (await emet.activity.list({ query: {} })).map(({ activityId, agreementId }) => {
      return { activityId, agreementId }
    }),
  }
}

/** Publishes a demand. */
function createDemand(constraints: string): Promise<string> {
  const properties = { 'golem.node.debug.subnet': 'public', 'golem.srv.comp.expiration': Date.now() + 3_600_000 }
  return trial.requestor.market.createDemand({ body: { properties, constraints } })
}

/** The providers whose offers a demand finds, as soon as there are so many. The demand is withdrawn then. */
async function offersFor(subscriptionId: string, count: number): Promise<Set<string>> {
  const { market } = trial.requestor
  const found = new Set<string>()
  await until('the demand finds the offers', async () => {
    const query = { timeout: 1, maxEvents: 100 }
    for (const event of await market.getDemandEvents({ params: { subscriptionId }, query })) {
      if (event.eventType === 'ProposalEvent') found.add(event.proposal.issuerId)
    }
    return found.size >= count
  })
  await market.deleteDemand({ params: { subscriptionId } })
  return found
}

const findOffers = async (constraints: string, count: number) => offersFor(await createDemand(constraints), count)
