/**
 * What every `Transport` must do, as a suite that each implementation runs:
 *
 *     describeTransport('memory', { describe, it, expect, afterEach }, () => createRig())
 */
import type { NodeId } from '@emet/core'
import type { NetErrorCode } from '../errors.ts'
import { NetError } from '../errors.ts'
import { BULK_STREAMS_PER_PEER_MAX } from '../session/bulk.ts'
import { PACKET_BYTES_MAX } from '../session/fragments.ts'
import type { SessionTransportOptions } from '../session/transport.ts'
import type { ByteStream, NetIdentity, Remote, Transport } from '../types.ts'
import { createTestIdentity } from './identity.ts'

/** Makes transports that can reach each other. */
export interface TransportRig {
  /** A transport that is not started yet. The same identity made again takes the place of its former self. */
  create(identity: NetIdentity, options?: SessionTransportOptions): Promise<Transport>
  /** An endpoint at which others reach the transport. */
  endpointOf(transport: Transport): string
  /** Ends a transport as a crash does. */
  crash(transport: Transport): Promise<void>
}

/** The functions of the test runner that the suite uses. */
export type TestRunner = {
  describe(name: string, body: () => void): void
  it(name: string, body: () => Promise<void>): void
  afterEach(body: () => Promise<void>): void
  // biome-ignore lint/suspicious/noExplicitAny: the runner's matchers have no common type
  expect: (actual: unknown) => any
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes)
const bytes = (string: string) => new TextEncoder().encode(string)

type Seen = { remote: Remote; packet: string }

/** One node of the suite: answers by what the packet says, and remembers what came. */
export type TestNode = {
  identity: ReturnType<typeof createTestIdentity>
  transport: Transport
  calls: Seen[]
  casts: { remote: Remote; topic: string; packet: string }[]
  bulks: { remote: Remote; purpose: string; stream: ByteStream }[]
  aborted: string[]
  served: number
}

/** Attaches a node's behaviour to a transport: `echo …`, `count N`, `big N`, `hang`, `silent`, `fail`. */
export function attachTestNode(identity: TestNode['identity'], transport: Transport): TestNode {
  const node: TestNode = { identity, transport, calls: [], casts: [], bulks: [], aborted: [], served: 0 }
  transport.attach({
    onPacket: (remote, packet, signal) => answer(node, remote, packet, signal),
    onCast: (remote, topic, packet) => void node.casts.push({ remote, topic, packet: text(packet) }),
    onBulk: (remote, purpose, stream) => void node.bulks.push({ remote, purpose, stream }),
    onPeerChange: () => {},
  })
  return node
}

async function* answer(
  node: TestNode,
  remote: Remote,
  packet: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const said = packet.length > 200 ? `size ${packet.length}` : text(packet)
  node.calls.push({ remote, packet: said })
  signal.addEventListener('abort', () => node.aborted.push(said), { once: true })
  const [verb, count = '1'] = said.split(' ')
  if (verb === 'hang') await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  if (verb === 'fail') throw new Error('a secret of the callee')
  if (verb === 'silent') return
  if (verb === 'big') return yield new Uint8Array(Number(count)).fill(7)
  if (verb !== 'count') return yield bytes(said)
  for (let index = 0; index < Number(count) && !signal.aborted; index++) {
    node.served++
    yield bytes(`${index}`.padEnd(said.endsWith('fat') ? 16_384 : 1))
  }
}

/** All replies of a call, as texts. */
export async function ask(from: TestNode, to: TestNode | NodeId, packet: string, signal?: AbortSignal) {
  const replies: string[] = []
  const id = typeof to === 'string' ? to : to.identity.defaultId
  for await (const reply of from.transport.call(id, bytes(packet), { signal })) replies.push(text(reply))
  return replies
}

/** Waits until `check` holds. */
export async function until(check: () => boolean, what: string, limitMs = 10_000): Promise<void> {
  const start = performance.now()
  while (!check()) {
    if (performance.now() - start > limitMs) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The code of the `NetError` that `work` fails with. */
export async function failureOf(work: Promise<unknown>): Promise<NetErrorCode | 'none'> {
  try {
    await work
    return 'none'
  } catch (error) {
    if (error instanceof NetError) return error.code
    throw error
  }
}

/** The suite. */
export function describeTransport(name: string, runner: TestRunner, createRig: () => TransportRig): void {
  runner.describe(`${name} as a Transport`, () => {
    const running: Transport[] = []
    let rig = createRig()
    let made = 0

    const start = async (identity: TestNode['identity'], options?: SessionTransportOptions) => {
      const node = attachTestNode(identity, await rig.create(identity, options))
      running.push(node.transport)
      await node.transport.start()
      return node
    }
    /** `a` and `b`, where `a` is connected to `b`. */
    const pair = async () => {
      const b = await start(createTestIdentity(`b${++made}`, `b${made} alias`))
      const a = await start(createTestIdentity(`a${made}`, `a${made} alias`))
      await a.transport.connect(rig.endpointOf(b.transport))
      return { a, b }
    }
    runner.afterEach(async () => {
      await Promise.all(running.splice(0).map((transport) => transport.stop()))
      rig = createRig()
    })
    describeCalls(runner, pair)
    describeLimits(runner, pair)
    describeBulk(runner, pair)
    describeIdentity(runner, pair)
    describeConnections(runner, pair, start, () => rig)
  })
}

type MakePair = () => Promise<{ a: TestNode; b: TestNode }>

function describeCalls({ it, expect }: TestRunner, pair: MakePair): void {
  it('calls, both ways, with the proven caller', async () => {
    const { a, b } = await pair()
    expect(await ask(a, b, 'echo there')).toEqual(['echo there'])
    expect(await ask(b, a, 'echo back')).toEqual(['echo back'])
    expect(b.calls[0]?.remote.nodeId).toBe(a.identity.defaultId)
    expect(a.calls[0]?.remote.nodeId).toBe(b.identity.defaultId)
  })
  it('streams replies, and ends without one', async () => {
    const { a, b } = await pair()
    expect(await ask(a, b, 'count 100')).toHaveLength(100)
    expect(await ask(a, b, 'silent')).toEqual([])
  })
  it('stops the callee of a stream that is no longer wanted', async () => {
    const { a, b } = await pair()
    for await (const _ of a.transport.call(b.identity.defaultId, bytes('count 100000 fat'))) break
    await until(() => b.aborted.includes('count 100000 fat'), 'the cancel')
    expect(b.served).toBeLessThan(1000)
  })
  it('cancels a call by its signal', async () => {
    const { a, b } = await pair()
    const stop = new AbortController()
    const call = ask(a, b, 'hang', stop.signal)
    await until(() => b.calls.length > 0, 'the call')
    stop.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await until(() => b.aborted.includes('hang'), 'the cancel')
  })
  it('holds the callee back while the caller does not take replies', async () => {
    const { a, b } = await pair()
    const replies = a.transport.call(b.identity.defaultId, bytes('count 1000 fat'))[Symbol.asyncIterator]()
    await replies.next()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const servedWhileWaiting = b.served
    expect(servedWhileWaiting).toBeLessThan(100)
    let count = 1
    while (!(await replies.next()).done) count++
    expect(count).toBe(1000)
  })
  it('runs 200 calls at once', async () => {
    const { a, b } = await pair()
    const calls = Array.from({ length: 200 }, (_, index) => ask(a, b, `echo ${index}`))
    expect((await Promise.all(calls)).flat()).toEqual(Array.from({ length: 200 }, (_, index) => `echo ${index}`))
  })
  it('runs more calls than may be in flight, in turn', async () => {
    const { a, b } = await pair()
    const calls = Array.from({ length: 1500 }, (_, index) => ask(a, b, `echo ${index}`))
    expect(await Promise.all(calls)).toHaveLength(1500)
  })
  it('says that the callee failed, without its secrets', async () => {
    const { a, b } = await pair()
    const failure = await ask(a, b, 'fail').catch((error: unknown) => error)
    expect((failure as NetError).code).toBe('refused')
    expect((failure as NetError).message).not.toContain('secret')
    expect(await ask(a, b, 'echo still here')).toEqual(['echo still here'])
  })
  it('casts to connected peers', async () => {
    const { a, b } = await pair()
    await a.transport.cast('news', bytes('hear'))
    await until(() => b.casts.length > 0, 'the cast')
    expect(b.casts[0]).toMatchObject({ topic: 'news', packet: 'hear', remote: { nodeId: a.identity.defaultId } })
  })
}

function describeLimits({ it, expect }: TestRunner, pair: MakePair): void {
  it('carries large packets both ways, and lets small ones pass them', async () => {
    const { a, b } = await pair()
    const large = ask(a, b, 'x'.repeat(3_000_000))
    const small = await ask(a, b, 'echo small')
    expect(small).toEqual(['echo small'])
    expect(await large).toEqual(['size 3000000'])
    const [reply] = await ask(a, b, 'big 3000000')
    expect(reply?.length).toBe(3_000_000)
  })
  it('refuses packets above the limit before sending them', async () => {
    const { a, b } = await pair()
    const packet = new Uint8Array(PACKET_BYTES_MAX + 1)
    const call = a.transport.call(b.identity.defaultId, packet)[Symbol.asyncIterator]().next()
    expect(await failureOf(call)).toBe('too-large')
    expect(await failureOf(ask(a, b, `big ${PACKET_BYTES_MAX + 1}`))).toBe('refused')
    expect(await ask(a, b, 'echo still here')).toEqual(['echo still here'])
  })
  it('refuses casts above the limit', async () => {
    const { a } = await pair()
    expect(await failureOf(a.transport.cast('news', new Uint8Array(70_000)))).toBe('too-large')
  })
}

async function readAll(stream: ByteStream): Promise<number> {
  let size = 0
  for await (const chunk of stream.source) size += chunk.length
  return size
}

function describeBulk({ it, expect }: TestRunner, pair: MakePair): void {
  it('carries bytes both ways with a purpose and half-close', async () => {
    const { a, b } = await pair()
    const near = await a.transport.openBulk(b.identity.defaultId, 'file/1')
    await near.write(bytes('question'))
    await near.finish()
    await until(() => b.bulks.length > 0, 'the stream')
    const far = b.bulks[0]!
    expect(far.purpose).toBe('file/1')
    expect(far.remote.nodeId).toBe(a.identity.defaultId)
    expect(await readAll(far.stream)).toBe(8)
    const reading = readAll(near)
    for (let count = 0; count < 50; count++) await far.stream.write(new Uint8Array(100_000))
    await far.stream.finish()
    expect(await reading).toBe(5_000_000)
  })
  it('makes a writer wait for a reader', async () => {
    const { a, b } = await pair()
    const near = await a.transport.openBulk(b.identity.defaultId, 'slow')
    await until(() => b.bulks.length > 0, 'the stream')
    let written = 0
    const writing = (async () => {
      for (; written < 64_000_000; written += 64_000) await near.write(new Uint8Array(64_000))
      await near.finish()
    })()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(written).toBeLessThan(16_000_000)
    expect(await readAll(b.bulks[0]!.stream)).toBe(64_000_000)
    await writing
  })
  it('tells the reader of an aborted stream', async () => {
    const { a, b } = await pair()
    const near = await a.transport.openBulk(b.identity.defaultId, 'cut')
    await near.write(bytes('half'))
    await until(() => b.bulks.length > 0, 'the stream')
    near.abort(new Error('no more'))
    await expect(readAll(b.bulks[0]!.stream)).rejects.toThrow()
  })
  it('bounds the open bulk streams of one peer', async () => {
    const { a, b } = await pair()
    const streams: ByteStream[] = []
    const open = async () => {
      const stream = await a.transport.openBulk(b.identity.defaultId, 'many')
      streams.push(stream)
    }
    for (let count = 0; count < BULK_STREAMS_PER_PEER_MAX + 5; count++) await open().catch(() => {})
    await until(() => b.bulks.length >= BULK_STREAMS_PER_PEER_MAX, 'the streams')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(b.bulks.length).toBe(BULK_STREAMS_PER_PEER_MAX)
    for (const { stream } of b.bulks.splice(0)) stream.abort(new Error('done'))
    for (const stream of streams) stream.abort(new Error('done'))
    await open()
    await until(() => b.bulks.length === 1, 'room for another stream')
  })
}

function describeIdentity({ it, expect }: TestRunner, pair: MakePair): void {
  it('proves further identities', async () => {
    const { a, b } = await pair()
    await ask(a, b, 'echo')
    expect(b.calls[0]?.remote.aliases).toEqual(a.identity.ids().slice(1))
    expect(a.transport.peers()[0]?.aliases).toEqual(b.identity.ids().slice(1))
  })
  it('proves identities that are unlocked later, before the next call', async () => {
    const { a, b } = await pair()
    const later = a.identity.addAlias('unlocked later')
    await ask(a, b, 'echo')
    expect(b.calls[0]?.remote.aliases).toContain(later)
  })
}

function describeConnections(
  { it, expect }: TestRunner,
  pair: MakePair,
  start: (identity: TestNode['identity'], options?: SessionTransportOptions) => Promise<TestNode>,
  rig: () => TransportRig,
): void {
  it('shows its peers and their roles', async () => {
    const relay = await start(createTestIdentity('relay'), { roles: ['relay', 'index'] })
    const a = await start(createTestIdentity('a of roles'))
    await a.transport.connect(rig().endpointOf(relay.transport))
    await until(() => a.transport.peers()[0]?.roundTripMs !== undefined, 'the round trip')
    expect(a.transport.peers()).toMatchObject([
      { nodeId: relay.identity.defaultId, state: 'connected', roles: ['relay', 'index'], path: 'direct' },
    ])
    expect(relay.transport.peers()).toMatchObject([{ nodeId: a.identity.defaultId, roles: [] }])
  })
  it('fails calls soon and clearly when the peer is gone', async () => {
    const { a, b } = await pair()
    const call = ask(a, b, 'hang')
    const failure = failureOf(call)
    await until(() => b.calls.length > 0, 'the call')
    const startMs = performance.now()
    await rig().crash(b.transport)
    expect(await failure).toBe('peer-gone')
    expect(performance.now() - startMs).toBeLessThan(1500)
    await expect(call).rejects.toThrow(b.identity.defaultId)
  })
  it('tells handlers that their caller is gone', async () => {
    const { a, b } = await pair()
    ask(a, b, 'hang').catch(() => {})
    await until(() => b.calls.length > 0, 'the call')
    await rig().crash(a.transport)
    await until(() => b.aborted.includes('hang'), 'the abort')
  })
  it('says that a node cannot be reached', async () => {
    const { a } = await pair()
    expect(await failureOf(ask(a, createTestIdentity('nobody').defaultId, 'echo'))).toBe('unreachable')
    expect(await failureOf(ask(a, a, 'echo'))).toBe('bad-request')
  })
  it('connects once when both sides dial at once', async () => {
    const a = await start(createTestIdentity('eager a'))
    const b = await start(createTestIdentity('eager b'))
    const both = await Promise.all([
      a.transport.connect(rig().endpointOf(b.transport)),
      b.transport.connect(rig().endpointOf(a.transport)),
    ])
    expect(both.map((peer) => peer.nodeId)).toEqual([b.identity.defaultId, a.identity.defaultId])
    const calls = Array.from({ length: 20 }, () => [ask(a, b, 'echo'), ask(b, a, 'echo')]).flat()
    expect(await Promise.all(calls)).toHaveLength(40)
    expect(a.transport.peers()).toHaveLength(1)
    expect(b.transport.peers()).toHaveLength(1)
  })
  it('comes back to a bootstrap peer that restarts', async () => {
    const relayIdentity = createTestIdentity('restarting relay')
    const relay = await start(relayIdentity, { roles: ['relay'] })
    const endpoint = rig().endpointOf(relay.transport)
    const a = await start(createTestIdentity('a of restart'), { bootstrap: [endpoint] })
    await until(() => a.transport.peers()[0]?.state === 'connected', 'the first connection')
    await rig().crash(relay.transport)
    await until(() => a.transport.peers()[0]?.state !== 'connected', 'the loss')
    const again = await start(relayIdentity, { roles: ['relay'] })
    await until(() => a.transport.peers()[0]?.state === 'connected', 'the second connection')
    expect(await ask(a, again, 'echo again')).toEqual(['echo again'])
  })
  it('reaches a node that it has never met through a bootstrap peer', async () => {
    const relay = await start(createTestIdentity('meeting point'), { roles: ['relay'] })
    const bootstrap = [rig().endpointOf(relay.transport)]
    const b = await start(createTestIdentity('never met'), { bootstrap })
    await until(() => b.transport.peers()[0]?.state === 'connected', 'the bootstrap peer')
    const a = await start(createTestIdentity('seeker'), { bootstrap })
    expect(await ask(a, b.identity.defaultId, 'echo hello')).toEqual(['echo hello'])
    expect(b.calls[0]?.remote.nodeId).toBe(a.identity.defaultId)
  })
  it('closes the idlest session when there are too many peers', async () => {
    const hub = await start(createTestIdentity('small hub'), { peersMax: 2 })
    for (const name of ['one', 'two', 'three']) {
      const node = await start(createTestIdentity(name))
      await node.transport.connect(rig().endpointOf(hub.transport))
    }
    await until(() => hub.transport.peers().length === 2, 'the limit')
  })
  it('is silent after stop, and can be stopped twice', async () => {
    const { a, b } = await pair()
    await b.transport.stop()
    await b.transport.stop()
    expect(await failureOf(ask(b, a, 'echo'))).toBe('stopped')
    await until(() => a.transport.peers().length === 0, 'the end of the session')
  })
}
