/** What the market's tests share: a provider and a requestor that negotiate. */
import type { InstantUs } from '@emet/core'
import { createTestNetwork, type TestNode, testDemand, testOffer } from './testing.ts'
import type { Market, SubscriptionKind } from './types.ts'

/** A provider and a requestor, each with a market, on one network. */
export async function createPair(options: { indexes?: number } = { indexes: 1 }) {
  const network = createTestNetwork()
  const indexes = []
  for (let n = 0; n < (options.indexes ?? 1); n++) indexes.push(await network.addIndex())
  const p = network.addNode()
  const r = network.addNode()
  const provider = network.createMarketOn(p)
  const requestor = network.createMarketOn(r)
  await provider.start()
  await requestor.start()
  return { network, indexes, p, r, provider, requestor }
}
export type Pair = Awaited<ReturnType<typeof createPair>>

export const poll = { timeoutMs: 0, maxEvents: 100 }
export const later = (pair: Pair, ms = 600_000): InstantUs => (pair.network.clock.nowMs() + ms) * 1000

export async function eventsOf(market: Market, node: TestNode, kind: SubscriptionKind, id: string) {
  if (kind === 'offer') return market.negotiations.offerEvents(node.nodeId, id, poll)
  return market.negotiations.demandEvents(node.nodeId, id, poll)
}
export async function proposalOf(market: Market, node: TestNode, kind: SubscriptionKind, id: string) {
  const [event] = await eventsOf(market, node, kind, id)
  if (event?.eventType !== 'ProposalEvent') throw new Error(`no proposal: ${JSON.stringify(event)}`)
  return event.proposal
}

/** Subscribes on both sides and negotiates until the requestor holds the provider's draft. */
export async function negotiate(pair: Pair) {
  const { provider, requestor, p, r, network } = pair
  const offerId = await provider.negotiations.subscribe('offer', p.nodeId, testOffer)
  await network.settle()
  const demandId = await requestor.negotiations.subscribe('demand', r.nodeId, testDemand)
  await network.settle()
  const initial = await proposalOf(requestor, r, 'demand', demandId)
  await requestor.negotiations.counter('demand', r.nodeId, demandId, initial.proposalId, testDemand)
  const theirs = await proposalOf(provider, p, 'offer', offerId)
  await provider.negotiations.counter('offer', p.nodeId, offerId, theirs.proposalId, testOffer)
  const draft = await proposalOf(requestor, r, 'demand', demandId)
  return { offerId, demandId, initial, theirs, draft }
}

/** Negotiates and confirms; the agreement waits for the provider. */
export async function propose(pair: Pair, validForMs = 600_000) {
  const facts = await negotiate(pair)
  const { requestor, r } = pair
  const agreementId = requestor.agreements.create(r.nodeId, facts.draft.proposalId, later(pair, validForMs))
  await requestor.agreements.confirm(r.nodeId, agreementId, 'session-r')
  return { ...facts, agreementId }
}

export const approve = ({ provider, p }: Pair, agreementId: string, timeoutMs = 5_000) =>
  provider.agreements.approve(p.nodeId, agreementId, { timeoutMs, appSessionId: 'session-p' })

export async function sign(pair: Pair) {
  const facts = await propose(pair)
  await approve(pair, facts.agreementId)
  await pair.network.settle()
  return facts
}

/** Both parties' states, as clients see them. */
export const states = ({ provider, requestor, p, r }: Pair, agreementId: string) => [
  requestor.agreements.get(agreementId, r.nodeId)?.state,
  provider.agreements.get(agreementId, p.nodeId)?.state,
]
export const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )
export const thrown = (work: () => unknown) => codeOf((async () => work())())
