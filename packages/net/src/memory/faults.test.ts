import { type NodeId, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from '../session/pulse.ts'
import { ask, attachTestNode, createTestIdentity, type TestNode } from '../testing.ts'
import { createMemoryNetwork, type MemoryFaults, memoryEndpoint } from './index.ts'

async function rig(faults: MemoryFaults = {}) {
  const clock = createVirtualClock()
  const network = createMemoryNetwork({ clock, random: createSeededRandom(3), faults })
  const start = async (seed: string): Promise<TestNode> => {
    const identity = createTestIdentity(seed)
    const node = attachTestNode(identity, network.createTransport(identity, {}, silentLogger))
    await node.transport.start()
    return node
  }
  const [a, b] = [await start('a'), await start('b')]
  return { clock, network, a, b }
}

/** The outcome of `work`, and how far the clock had to go until it was known. */
async function timed<T>(clock: { advance(ms: number): Promise<void>; monotonicMs(): number }, work: Promise<T>) {
  let outcome: T | Error | undefined
  work.then(
    (value) => {
      outcome = value
    },
    (error: Error) => {
      outcome = error
    },
  )
  const startMs = clock.monotonicMs()
  for (let step = 0; outcome === undefined && step < 10_000; step++) await clock.advance(10)
  return { outcome, tookMs: clock.monotonicMs() - startMs }
}

const idOf = (node: TestNode): NodeId => node.identity.defaultId

describe('faults of the memory network', () => {
  it('delay by the latency of the path', async () => {
    const { clock, a, b } = await rig({ latencyMs: () => 50 })
    await timed(clock, a.transport.connect(memoryEndpoint(idOf(b))))
    const { outcome, tookMs } = await timed(clock, ask(a, b, 'echo'))
    expect(outcome).toEqual(['echo'])
    expect(tookMs).toBeGreaterThanOrEqual(100)
    expect(tookMs).toBeLessThan(200)
  })
  it('lose nothing and keep order under loss', async () => {
    const { clock, a, b } = await rig({ latencyMs: () => 5, loss: () => 0.3 })
    const { outcome } = await timed(clock, ask(a, b, 'count 200'))
    expect((outcome as string[]).map((text) => text.trim())).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
  })
  it('cut a peer off, which both sides notice by pings', async () => {
    const { clock, network, a, b } = await rig()
    await timed(clock, a.transport.connect(idOf(b)))
    network.partition([idOf(a)], [idOf(b)])
    const { outcome, tookMs } = await timed(clock, ask(a, b, 'echo'))
    expect(outcome).toMatchObject({ code: 'peer-gone' })
    expect(tookMs).toBeLessThanOrEqual(PING_INTERVAL_MS + 2 * PING_TIMEOUT_MS)
    const again = await timed(clock, ask(a, b, 'echo'))
    expect(again.outcome).toMatchObject({ code: 'unreachable' })
    network.heal()
    expect((await timed(clock, ask(a, b, 'echo'))).outcome).toEqual(['echo'])
  })
  it('hold back what was sent during a short cut, and deliver it after', async () => {
    const { clock, network, a, b } = await rig()
    await timed(clock, a.transport.connect(idOf(b)))
    network.partition([idOf(a)], [idOf(b)])
    const call = ask(a, b, 'echo late')
    await clock.advance(2000)
    network.heal()
    expect((await timed(clock, call)).outcome).toEqual(['echo late'])
  })
  it('replay the same under the same seed', async () => {
    const run = async () => {
      const { clock, a, b } = await rig({ latencyMs: () => 5, loss: () => 0.3 })
      return (await timed(clock, ask(a, b, 'count 50'))).tookMs
    }
    expect(await run()).toBe(await run())
  })
})
