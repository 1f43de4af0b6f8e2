import { EventStream, marketApi, RestError } from '@emet/api'
import type { NodeId } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { createPair, later, negotiate, type Pair, propose, sign } from './harness.ts'
import { createEmetMarketRoutes, createMarketRoutes } from './routes.ts'
import { testDemand, testOffer } from './testing.ts'

let pairs: Pair[] = []
const open = async () => {
  const pair = await createPair()
  pairs.push(pair)
  return pair
}
afterEach(async () => {
  for (const pair of pairs) await Promise.all([pair.provider.stop(), pair.requestor.stop()])
  pairs = []
})

type Name = keyof typeof marketApi.routes
type Input = { params?: unknown; query?: unknown; body?: unknown; wantsEvents?: boolean }

/** Calls a handler as the server would: defaults filled in. */
async function call(pair: Pair, who: 'requestor' | 'provider', name: Name, input: Input = {}) {
  const nodeId: NodeId = who === 'requestor' ? pair.r.nodeId : pair.p.nodeId
  const route = marketApi.routes[name]
  const query = 'query' in route ? route.query.parse(input.query ?? {}) : undefined
  const handler = createMarketRoutes(pair[who])[name] as (request: unknown) => Promise<unknown>
  const caller = { nodeId, keyName: 'test', role: 'manager' as const }
  const signal = new AbortController().signal
  const request = {
    params: input.params,
    query,
    body: input.body,
    caller,
    headers: {},
    signal,
    wantsEvents: input.wantsEvents ?? false,
  }
  const reply = await handler(request)
  if (reply !== undefined && typeof route.success.body !== 'string' && !(reply instanceof EventStream)) {
    route.success.body.parse(JSON.parse(JSON.stringify(route.success.body.encode(reply as never))))
  }
  return reply
}
const statusOf = (work: Promise<unknown>) =>
  work.then(
    () => 200,
    (error: unknown) => (error instanceof RestError ? error.status : error),
  )

describe('statuses', () => {
  it('of subscriptions', async () => {
    const pair = await open()
    const offerId = (await call(pair, 'provider', 'createOffer', { body: testOffer })) as string
    const demandId = (await call(pair, 'requestor', 'createDemand', { body: testDemand })) as string
    expect(await call(pair, 'provider', 'listOffers')).toHaveLength(1)
    expect(await call(pair, 'requestor', 'listDemands')).toHaveLength(1)
    const offer = { params: { subscriptionId: offerId } }
    const demand = { params: { subscriptionId: demandId } }
    const poll = { query: { timeout: '0' } }
    expect(await statusOf(call(pair, 'requestor', 'getDemandEvents', { ...offer, ...poll }))).toBe(404)
    expect(await statusOf(call(pair, 'requestor', 'deleteDemand', demand))).toBe(200)
    expect(await statusOf(call(pair, 'requestor', 'deleteDemand', demand))).toBe(404)
    expect(await statusOf(call(pair, 'requestor', 'getDemandEvents', { ...demand, ...poll }))).toBe(404)
    expect(await statusOf(call(pair, 'provider', 'deleteOffer', offer))).toBe(200)
    expect(await statusOf(call(pair, 'provider', 'deleteOffer', offer))).toBe(410)
    const bad = { body: { properties: {}, constraints: '(a' } }
    expect(await statusOf(call(pair, 'requestor', 'createDemand', bad))).toBe(400)
  })

  it('of proposals', async () => {
    const pair = await open()
    const { demandId, draft, initial } = await negotiate(pair)
    const at = (proposalId: string) => ({ params: { subscriptionId: demandId, proposalId } })
    expect(await call(pair, 'requestor', 'getDemandProposal', at(draft.proposalId))).toMatchObject({ state: 'Draft' })
    const unknown = at(`R-${'0'.repeat(64)}`)
    expect(await statusOf(call(pair, 'requestor', 'getDemandProposal', unknown))).toBe(404)
    expect(await statusOf(call(pair, 'requestor', 'counterOfferProposal', { ...unknown, body: testDemand }))).toBe(404)
    expect(
      await statusOf(call(pair, 'requestor', 'counterOfferProposal', { ...at(initial.proposalId), body: testDemand })),
    ).toBe(410)
    const unfit = { properties: {}, constraints: '(golem.runtime.name=vm)' }
    expect(
      await statusOf(call(pair, 'requestor', 'counterOfferProposal', { ...at(draft.proposalId), body: unfit })),
    ).toBe(400)
    expect(await statusOf(call(pair, 'requestor', 'rejectOfferProposal', { ...unknown, body: null }))).toBe(500)
    expect(
      await statusOf(call(pair, 'requestor', 'rejectOfferProposal', { ...at(draft.proposalId), body: null })),
    ).toBe(200)
    const agreement = { body: { proposalId: draft.proposalId, validTo: later(pair) } }
    expect(await statusOf(call(pair, 'requestor', 'createAgreement', agreement))).toBe(400)
  })

  it('of agreements', async () => {
    const pair = await open()
    const { draft, offerId } = await negotiate(pair)
    const body = { proposalId: draft.proposalId, validTo: later(pair) }
    const agreementId = (await call(pair, 'requestor', 'createAgreement', { body })) as string
    const params = { agreementId }
    expect(await statusOf(call(pair, 'requestor', 'createAgreement', { body }))).toBe(409)
    expect(await statusOf(call(pair, 'requestor', 'waitForApproval', { params }))).toBe(400)
    expect(await statusOf(call(pair, 'requestor', 'terminateAgreement', { params, body: null }))).toBe(409)
    expect(await statusOf(call(pair, 'requestor', 'confirmAgreement', { params }))).toBe(200)
    expect(await statusOf(call(pair, 'requestor', 'confirmAgreement', { params }))).toBe(410)
    expect(await statusOf(call(pair, 'requestor', 'waitForApproval', { params, query: { timeout: '0' } }))).toBe(408)
    expect(await statusOf(call(pair, 'requestor', 'terminateAgreement', { params, body: null }))).toBe(410)
    expect(await statusOf(call(pair, 'requestor', 'getTerminateReason', { params }))).toBe(400)
    const events = { params: { subscriptionId: offerId }, query: { timeout: '0' } }
    expect(await call(pair, 'provider', 'getOfferEvents', events)).toMatchObject([{ eventType: 'AgreementEvent' }])
    expect(await statusOf(call(pair, 'requestor', 'approveAgreement', { params }))).toBe(404)
    expect(await statusOf(call(pair, 'provider', 'approveAgreement', { params }))).toBe(200)
    await pair.network.settle()
    expect(await statusOf(call(pair, 'requestor', 'waitForApproval', { params }))).toBe(200)
    expect(await statusOf(call(pair, 'requestor', 'cancelAgreement', { params, body: null }))).toBe(410)
    expect(await statusOf(call(pair, 'provider', 'rejectAgreement', { params, body: null }))).toBe(410)
    expect(await statusOf(call(pair, 'requestor', 'terminateAgreement', { params, body: { message: 'x' } }))).toBe(200)
    expect(await call(pair, 'provider', 'getTerminateReason', { params })).toMatchObject({ reason: { message: 'x' } })
    expect(await call(pair, 'provider', 'getAgreement', { params })).toMatchObject({ state: 'Terminated' })
    expect(await call(pair, 'provider', 'listAgreements')).toHaveLength(1)
    expect(await call(pair, 'provider', 'getAgreementEvents', { query: { timeout: '0' } })).toHaveLength(2)
  })

  it('of an agreement that is cancelled or out of reach', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const params = { agreementId }
    await call(pair, 'requestor', 'cancelAgreement', { params, body: null })
    await expect(call(pair, 'provider', 'approveAgreement', { params })).rejects.toMatchObject({
      status: 410,
      body: { message: 'Cancelled' },
    })
    await expect(call(pair, 'requestor', 'waitForApproval', { params })).rejects.toMatchObject({
      status: 410,
      body: { message: 'Cancelled' },
    })
    const other = await open()
    const signed = await sign(other)
    other.network.setOffline(other.p.nodeId, true)
    const input = { params: { agreementId: signed.agreementId }, body: null }
    expect(await statusOf(call(other, 'requestor', 'terminateAgreement', input))).toBe(500)
    expect(await call(other, 'requestor', 'getAgreement', input)).toMatchObject({ state: 'Approved' })
  })

  it('of scans', async () => {
    const pair = await open()
    const scanId = (await call(pair, 'requestor', 'createScan', { body: { type: 'offer' } })) as string
    const params = { scanId }
    await call(pair, 'provider', 'createOffer', { body: testOffer })
    await pair.network.settle()
    const events = (await call(pair, 'requestor', 'getScanEvents', { params, wantsEvents: true })) as EventStream
    const [first] = await (async () => {
      for await (const event of events.events) return [event]
      return []
    })()
    expect(first).toMatchObject({ event: 'offer', data: { providerId: pair.p.nodeId } })
    const unreachable = { params, query: { peerId: `0x${'9'.repeat(40)}` } }
    expect(await statusOf(call(pair, 'requestor', 'getScanEvents', unreachable))).toBe(502)
    expect(await statusOf(call(pair, 'requestor', 'deleteScan', { params }))).toBe(200)
    expect(await statusOf(call(pair, 'requestor', 'deleteScan', { params }))).toBe(404)
    expect(await statusOf(call(pair, 'requestor', 'getScanEvents', { params, wantsEvents: true }))).toBe(404)
    expect(await statusOf(call(pair, 'requestor', 'createScan', { body: { type: 'offer', constraints: '(' } }))).toBe(
      400,
    )
  })
})

describe('our own routes', () => {
  it('list the known offers and explain a demand', async () => {
    const pair = await open()
    const { demandId } = await sign(pair)
    const routes = createEmetMarketRoutes(pair.requestor)
    const base = {
      caller: { nodeId: pair.r.nodeId, keyName: 'k', role: 'manager' as const },
      headers: {},
      wantsEvents: false,
      body: undefined,
    }
    const signal = new AbortController().signal
    const list = (constraints?: string) =>
      routes.listKnownOffers({ ...base, signal, params: undefined, query: { constraints, maxItems: undefined } })
    expect(await list()).toHaveLength(1)
    expect(await list('(golem.runtime.name=vm)')).toHaveLength(0)
    const explain = (id: string) => routes.explain({ ...base, signal, query: undefined, params: { demandId: id } })
    expect(await explain(demandId)).toMatchObject({
      demandId,
      steps: expect.arrayContaining([{ name: 'matched', offers: 1 }]),
    })
    expect(await statusOf(explain('nonsense'))).toBe(404)
  })
})
