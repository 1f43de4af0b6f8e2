import { type NodeId, nodeId } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFunnels } from './funnel.ts'
import { FUNNEL_KEYS_MAX } from './limits.ts'
import { fairOrder } from './offer-book.ts'
import { planOf, replicasOf, SHARDS, shardOf } from './rendezvous.ts'
import type { SignedOffer } from './types.ts'
import { createWakeups } from './wakeups.ts'

const anyNode: fc.Arbitrary<NodeId> = fc
  .uint8Array({ minLength: 20, maxLength: 20 })
  .map((bytes) => nodeId(`0x${Buffer.from(bytes).toString('hex')}`))
const anyNodes = fc.uniqueArray(anyNode, { maxLength: 12 })

describe('rendezvous hashing', () => {
  it('moves only the shards of the peer that left', () => {
    fc.assert(
      fc.property(anyNodes, anyNode, fc.nat(SHARDS - 1), (peers, gone, shard) => {
        const before = replicasOf(shard, [...new Set([...peers, gone])], 3)
        const after = replicasOf(
          shard,
          peers.filter((peer) => peer !== gone),
          3,
        )
        for (const peer of before) if (peer !== gone) expect(after).toContain(peer)
      }),
    )
  })

  it('gives each shard to as many distinct peers as it should, in an order that does not depend on ours', () => {
    fc.assert(
      fc.property(anyNodes, fc.nat(SHARDS - 1), (peers, shard) => {
        const chosen = replicasOf(shard, peers, 3)
        expect(new Set(chosen).size).toBe(Math.min(3, peers.length))
        expect(replicasOf(shard, [...peers].reverse(), 3)).toEqual(chosen)
      }),
    )
  })

  it('asks each shard at two of its replicas', () => {
    fc.assert(
      fc.property(anyNodes, anyNode, (peers, provider) => {
        const plan = planOf(peers, { replicas: 3, replicasAsked: 2 })
        const holders = replicasOf(shardOf(provider), peers, 3)
        const asked = [...plan].filter(([, shards]) => shards.includes(shardOf(provider))).map(([peer]) => peer)
        expect(asked).toHaveLength(Math.min(2, peers.length))
        for (const peer of asked) expect(holders).toContain(peer)
      }),
    )
  })
})

describe('the fair order', () => {
  const offerOf = (provider: NodeId, n: number) => ({ id: `${provider}/${n}`, nodeId: provider }) as SignedOffer

  it('loses nobody, and puts every provider’s first offer before anybody’s second', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyNode, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 20 }),
        fc.string(),
        (nodes, many, salt) => {
          const [greedy = nodes[0], ...rest] = nodes
          const offers = [
            ...Array.from({ length: many }, (_, n) => offerOf(greedy as NodeId, n)),
            ...rest.map((node) => offerOf(node, 0)),
          ]
          const ordered = fairOrder(offers, salt)
          expect(new Set(ordered)).toEqual(new Set(offers))
          expect(new Set(ordered.slice(0, nodes.length).map((offer) => offer.nodeId)).size).toBe(nodes.length)
        },
      ),
    )
  })

  it('puts each provider first about equally often', () => {
    const nodes = Array.from({ length: 4 }, (_, n) => nodeId(`0x${String(n).repeat(40)}`))
    const firsts = new Map<NodeId, number>()
    for (let salt = 0; salt < 400; salt++) {
      const [first] = fairOrder(
        nodes.map((node) => offerOf(node, 0)),
        `demand-${salt}`,
      )
      if (first) firsts.set(first.nodeId, (firsts.get(first.nodeId) ?? 0) + 1)
    }
    for (const node of nodes) expect(firsts.get(node)).toBeGreaterThan(60)
  })
})

describe('funnels', () => {
  it('count reasons that are names of things every object has', () => {
    const funnels = createFunnels()
    for (const why of ['__proto__', 'constructor', '__proto__']) {
      funnels.add('demand', 'demand', { step: 'dropped', why })
    }
    const tally = funnels.get('demand')?.dropped ?? {}
    expect(Object.entries(tally)).toEqual([
      ['__proto__', 2],
      ['constructor', 1],
    ])
  })

  it('stay bounded and count everything', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 200 }), (reasons) => {
        const funnels = createFunnels()
        for (const why of reasons) funnels.add('demand', 'demand', { step: 'dropped', why })
        const tally = funnels.get('demand')?.dropped ?? {}
        expect(Object.keys(tally).length).toBeLessThanOrEqual(FUNNEL_KEYS_MAX + 1)
        expect(Object.values(tally).reduce((sum, count) => sum + count, 0)).toBe(reasons.length)
      }),
    )
  })
})

describe('wake-ups', () => {
  it('end all waits when stopped, and leave no timer', async () => {
    const clock = createVirtualClock()
    const wakeups = createWakeups(clock)
    const waits = ['a', 'b'].map((key) =>
      wakeups.until(key, { timeoutMs: 1_000 }, () => undefined).catch((e) => e.code),
    )
    expect(wakeups.waiting).toBe(2)
    wakeups.stop()
    expect(await Promise.all(waits)).toEqual(['stopped', 'stopped'])
    expect([wakeups.waiting, clock.pendingTimers]).toEqual([0, 0])
  })

  it('wake only those with the key, as often as it takes', async () => {
    const clock = createVirtualClock()
    const wakeups = createWakeups(clock)
    let checks = 0
    const wait = wakeups.until('a', { timeoutMs: 1_000 }, () => (++checks === 3 ? 'found' : undefined))
    wakeups.wake('b')
    wakeups.wake('a')
    await clock.advance(0)
    expect(checks).toBe(2)
    wakeups.wake('a')
    expect(await wait).toBe('found')
  })
})
