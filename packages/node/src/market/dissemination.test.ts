import { formatNaiveInstant } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { indexAddress, MATCHED_ADDRESS, offerToWire } from './index-protocol.ts'
import { heartbeatDigest, offersDigest } from './offer-index.ts'
import { signOffer, toHex } from './signed-offer.ts'
import { createTestNetwork, type TestNetwork, type TestNode, testDemand, testOffer } from './testing.ts'
import type { Market } from './types.ts'

let running: Market[] = []
afterEach(async () => {
  for (const market of running) await market.stop()
  running = []
})
async function openMarket(network: TestNetwork, options = {}) {
  const node = network.addNode()
  const market = network.createMarketOn(node, options)
  await market.start()
  running.push(market)
  return { node, market }
}
const poll = { timeoutMs: 0, maxEvents: 100 }
const offer = ({ market, node }: { market: Market; node: TestNode }) =>
  market.negotiations.subscribe('offer', node.nodeId, testOffer)
const demand = ({ market, node }: { market: Market; node: TestNode }) =>
  market.negotiations.subscribe('demand', node.nodeId, testDemand)
const found = async ({ market, node }: { market: Market; node: TestNode }, id: string) =>
  (await market.negotiations.demandEvents(node.nodeId, id, poll)).length
const sent = (network: TestNetwork, name: string) => network.messages.filter(({ address }) => address.endsWith(name))

describe('offers', () => {
  it('are pushed to three index peers, and a demand asks two of them', async () => {
    const network = createTestNetwork()
    for (let n = 0; n < 5; n++) await network.addIndex()
    const provider = await openMarket(network)
    const requestor = await openMarket(network)
    await offer(provider)
    await network.settle()
    expect(new Set(sent(network, '/Put').map(({ to }) => to)).size).toBe(3)
    const id = await demand(requestor)
    await network.settle()
    expect(await found(requestor, id)).toBe(1)
    const shardsAsked = sent(network, 'index/Watch').flatMap(({ value }) => (value as { shards: number[] }).shards)
    expect(shardsAsked).toHaveLength(2 * 16)
  })

  it('reach a waiting demand in one message from the index peer', async () => {
    const network = createTestNetwork()
    await network.addIndex()
    const provider = await openMarket(network)
    const requestor = await openMarket(network)
    const id = await demand(requestor)
    await network.settle()
    await offer(provider)
    await network.settle()
    expect(await found(requestor, id)).toBe(1)
    expect(sent(network, MATCHED_ADDRESS)).toHaveLength(1)
    expect(sent(network, 'index/Watch')).toHaveLength(1)
  })

  it('are found at directly connected nodes when there is no index peer, also later ones', async () => {
    const network = createTestNetwork()
    const provider = await openMarket(network)
    const requestor = await openMarket(network)
    await offer(provider)
    const id = await demand(requestor)
    await network.settle()
    expect(await found(requestor, id)).toBe(1)
    await offer(provider)
    await network.settle()
    expect(await found(requestor, id)).toBe(1)
  })

  it('go when they are unsubscribed', async () => {
    const network = createTestNetwork()
    const { index } = await network.addIndex()
    const provider = await openMarket(network)
    const id = await offer(provider)
    await network.settle()
    expect(index.offers).toBe(1)
    provider.market.negotiations.unsubscribe('offer', provider.node.nodeId, id)
    await network.settle()
    expect(index.offers).toBe(0)
  })

  it('stay by heartbeats without being sent again, and go when the provider falls silent', async () => {
    const network = createTestNetwork()
    const { index } = await network.addIndex({ heartbeatTimeoutMs: 700_000 })
    const provider = await openMarket(network)
    await offer(provider)
    await network.settle()
    await network.clock.advance(1_500_000)
    expect(index.offers).toBe(1)
    expect(sent(network, '/Put')).toHaveLength(1)
    expect(sent(network, '/Heartbeat').length).toBeGreaterThanOrEqual(4)
    await provider.market.stop()
    await network.clock.advance(760_000)
    expect(index.offers).toBe(0)
  })

  it('are handed to an index peer that has lost them, and to a new one', async () => {
    const network = createTestNetwork()
    const first = await network.addIndex()
    const provider = await openMarket(network, { heartbeatMs: 60_000 })
    await offer(provider)
    await network.settle()
    await first.gone()
    const second = await network.addIndex({ heartbeatTimeoutMs: 100_000 })
    await network.settle()
    expect(second.index.offers).toBe(1)
    network.setFate(() => 'lost')
    await network.clock.advance(150_000)
    expect(second.index.offers).toBe(0)
    network.setFate(() => 'arrives')
    await network.clock.advance(70_000)
    expect(second.index.offers).toBe(1)
  })

  it('of an index peer that is a daemon itself are found by it', async () => {
    const network = createTestNetwork()
    const { createOfferIndex } = await import('./offer-index.ts')
    const { silentLogger } = await import('@emet/core')
    const both = await openMarket(network, { isIndex: true })
    const index = createOfferIndex({ ...both.node, clock: network.clock, logger: silentLogger })
    await index.start()
    await offer(both)
    await network.settle()
    expect(index.offers).toBe(1)
    await index.stop()
  })
})

describe('an index peer', () => {
  async function openIndex(options = {}) {
    const network = createTestNetwork()
    const at = await network.addIndex(options)
    const node = network.addNode()
    const sign = async (signer: TestNode, draft = testOffer, ms = 3_600_000) => {
      const { contentOf, hashedContent } = await import('./content.ts')
      const { createSubscriptionId } = await import('@emet/core')
      const content = contentOf(draft)
      const createdUs = network.clock.nowMs() * 1000
      const creationTs = formatNaiveInstant(createdUs)
      const expirationTs = formatNaiveInstant(createdUs + ms * 1000)
      const publication = { ...content, nodeId: signer.nodeId, creationTs, expirationTs }
      const id = createSubscriptionId(hashedContent(publication), signer.random)
      return signOffer(signer.signer, { ...publication, id })
    }
    const call = (from: TestNode, name: string, body: unknown) =>
      from.bus.call(`/net/${at.nodeId}${indexAddress('index', name)}`, body)
    const put = async (from: TestNode, ...offers: Awaited<ReturnType<typeof sign>>[]) => {
      const reply = (await call(from, 'Put', { offers: offers.map(offerToWire) })) as { results: { status: string }[] }
      return reply.results.map(({ status }) => status)
    }
    return { network, at, node, sign, call, put }
  }

  it('takes only offers that their issuer has signed and sends itself', async () => {
    const { network, at, node, sign, put } = await openIndex()
    const other = network.addNode()
    const good = await sign(node)
    expect(await put(other, good)).toEqual(['refused'])
    expect(await put(node, { ...good, signature: (await sign(other)).signature })).toEqual(['refused'])
    expect(await put(node, { ...good, properties: '{"golem.runtime.name":"vm"}' })).toEqual(['refused'])
    expect(await put(node, { ...good, expirationTs: good.expirationTs.replace(/:\d\d\./, ':59.') })).toEqual([
      'refused',
    ])
    expect(await put(node, await sign(node, testOffer, 40 * 24 * 3_600_000))).toEqual(['refused'])
    expect(at.index.offers).toBe(0)
    expect(await put(node, good)).toEqual(['kept'])
    expect(await put(node, good)).toEqual(['kept'])
    expect(at.index.offers).toBe(1)
  })

  it('bounds the offers of one provider, and all of them', async () => {
    const { network, at, node, sign, put } = await openIndex({ offersPerProviderMax: 2, offersMax: 3 })
    expect(await put(node, await sign(node), await sign(node), await sign(node))).toEqual(['kept', 'kept', 'refused'])
    const other = network.addNode()
    expect(await put(other, await sign(other), await sign(other))).toEqual(['kept', 'refused'])
    expect(at.index.offers).toBe(3)
  })

  it('bounds calls and standing demands of one node', async () => {
    const { node, call } = await openIndex({ callsPerMinuteMax: 4, watchesPerCallerMax: 1 })
    const watch = (watchId: string) => ({
      watchId,
      kind: 'demand',
      properties: '{}',
      constraints: '()',
      shards: [],
      limit: 1,
      round: 0,
      isStanding: true,
    })
    expect(await call(node, 'Watch', watch('a'))).toMatchObject({ isStanding: true })
    expect(await call(node, 'Watch', watch('a'))).toMatchObject({ isStanding: true })
    expect(await call(node, 'Watch', watch('b'))).toMatchObject({ isStanding: false })
    await expect(call(node, 'Watch', { ...watch('c'), limit: 'many' })).rejects.toThrow(/limit/)
    await expect(call(node, 'Watch', watch('d'))).rejects.toThrow(/slow down|too often/)
  })

  it('takes heartbeats and withdrawals only from the provider, and each once', async () => {
    const { network, at, node, sign, call, put } = await openIndex()
    const other = network.addNode()
    const mine = await sign(node)
    await put(node, mine)
    const beat = { nodeId: node.nodeId, atUs: network.clock.nowMs() * 1000, offersDigest: offersDigest([mine.id]) }
    const signature = toHex(await node.signer.sign(node.nodeId, heartbeatDigest(beat)))
    await expect(call(other, 'Heartbeat', { ...beat, signature })).rejects.toThrow(/another node/)
    expect(await call(node, 'Heartbeat', { ...beat, signature })).toEqual({ isKnown: true })
    await expect(call(node, 'Heartbeat', { ...beat, signature })).rejects.toThrow(/repetition/)
    const forged = { nodeId: node.nodeId, atUs: beat.atUs + 1, offerIds: [mine.id], signature }
    await expect(call(node, 'Withdraw', forged)).rejects.toThrow(/signature/)
    expect(at.index.offers).toBe(1)
  })

  it('forgets standing demands that are not renewed', async () => {
    const { network, at } = await openIndex({ watchTtlMs: 300_000 })
    const requestor = await openMarket(network)
    await demand(requestor)
    await network.clock.advance(1_000_000)
    expect(at.index.standingDemands).toBe(1)
    await requestor.market.stop()
    await network.clock.advance(400_000)
    expect(at.index.standingDemands).toBe(0)
  })

  it('that invents or alters offers is not believed', async () => {
    const { network, at, node, sign } = await openIndex()
    const requestor = await openMarket(network)
    const id = await demand(requestor)
    await network.settle()
    const good = await sign(node)
    const tell = (from: TestNode, offers: unknown[]) =>
      from.bus.call(`/net/${requestor.node.nodeId}${MATCHED_ADDRESS}`, { watchId: id, offers })
    await expect(tell(node, [offerToWire(good)])).rejects.toThrow(/unknown demand/)
    await tell(at, [offerToWire({ ...good, properties: good.properties.replace('4', '5') })])
    expect(await found(requestor, id)).toBe(0)
    await tell(at, [offerToWire(good)])
    await tell(at, [offerToWire(good)])
    expect(await found(requestor, id)).toBe(1)
  })
})

describe('discovery for original nodes', () => {
  it('answers Query and Get', async () => {
    const network = createTestNetwork()
    const provider = await openMarket(network)
    const other = network.addNode()
    const id = await offer(provider)
    const ask = (name: string, body: unknown) =>
      other.bus.call(`/net/${provider.node.nodeId}/market/protocol/mk1/discovery/offers/${name}`, body)
    expect(await ask('Query', { nodeId: null, constraintExpr: null, iterator: null })).toEqual({
      offers: [id],
      iterator: null,
    })
    const [wire] = (await ask('Get', { offerIds: [id, 'unknown'] })) as Record<string, unknown>[]
    expect(wire).toMatchObject({ id, node_id: provider.node.nodeId, insertion_ts: null })
  })
})

describe('scans', () => {
  it('collect by insertion, wait for the next offer, and end when idle', async () => {
    const network = createTestNetwork()
    await network.addIndex()
    const provider = await openMarket(network)
    const requestor = await openMarket(network)
    const { nodeId } = requestor.node
    const { scans } = requestor.market
    await offer(provider)
    await network.settle()
    const id = scans.start(nodeId, { type: 'offer', constraints: '(golem.inf.mem.gib>3)' })
    await network.settle()
    expect(id).toMatch(/^\d+$/)
    expect(await scans.collect(nodeId, id, poll)).toHaveLength(1)
    const waiting = scans.collect(nodeId, id, { timeoutMs: 5_000, maxEvents: 10 })
    await network.settle()
    await offer(provider)
    await network.settle()
    expect(await waiting).toHaveLength(1)
    const peerId = provider.node.nodeId
    expect(await scans.collect(nodeId, id, { ...poll, peerId })).toHaveLength(2)
    await expect(scans.collect(peerId, id, poll)).rejects.toMatchObject({ code: 'scan-of-another' })
    await network.clock.advance(400_000)
    await expect(scans.collect(nodeId, id, poll)).rejects.toMatchObject({ code: 'scan-not-found' })
  })
})
