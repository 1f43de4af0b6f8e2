import { silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { createPipe } from '../memory/pipe.ts'
import { createTestIdentity, type TestIdentity } from '../testing.ts'
import type { ByteStream, PeerRole } from '../types.ts'
import { CALLS_IN_FLIGHT_MAX } from './caller.ts'
import { CASTS_PER_SECOND_MAX, encodeCast } from './cast.ts'
import { encodeFrame, FRAME } from './frame.ts'
import { createHello, encodeHello, encodeProof } from './hello.ts'
import type { Link } from './link.ts'
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from './pulse.ts'
import { createSession, GREETING_TIMEOUT_MS } from './session.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

/** A session of `me` whose far end the test plays itself, byte by byte. */
function rig(me: TestIdentity = createTestIdentity('me'), peer: TestIdentity = createTestIdentity('peer')) {
  const clock = createVirtualClock()
  const random = createSeededRandom(7)
  const conditions = { clock, delayMs: () => 0, isCut: () => false }
  const [toPeer, toMe] = [createPipe(conditions), createPipe(conditions)]
  const stream: ByteStream = {
    source: toMe.source,
    write: toPeer.write,
    finish: async () => toPeer.finish(),
    abort: (reason) => {
      toPeer.break(reason)
      toMe.break(reason)
    },
    [Symbol.asyncDispose]: async () => {},
  }
  const link: Link = {
    remoteId: peer.defaultId,
    initiator: false,
    path: 'direct',
    endpoint: 'test',
    open: () => Promise.reject(new Error('not used')),
    release: () => {},
    abort: () => {},
  }
  const seen = { casts: 0, calls: 0, closed: undefined as Error | undefined }
  const session = createSession({ link, stream, identity: me, clock, random, logger: silentLogger }, [], {
    onPacket: async function* (_, __, signal) {
      seen.calls++
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
    onCast: () => void seen.casts++,
    onChange: () => {},
    onClose: (_, reason) => {
      seen.closed = reason
    },
  })
  const send = (kind: (typeof FRAME)[keyof typeof FRAME], id = 0, payload: Uint8Array = new Uint8Array(0)) =>
    toMe.write(encodeFrame(kind, id, payload))
  /** Reads our greeting, and answers as the peer does. */
  const greet = async (prover: TestIdentity = peer, roles: readonly PeerRole[] = []) => {
    const first = await toPeer.source[Symbol.asyncIterator]().next()
    const mine = JSON.parse(
      Buffer.from(first.value as Uint8Array)
        .subarray(9)
        .toString(),
    ) as { nonce: string }
    const hello = createHello(random, roles)
    await send(FRAME.hello, 0, encodeHello(hello))
    const scope = {
      prover: peer.defaultId,
      proverNonce: hello.nonce,
      checker: me.defaultId,
      checkerNonce: Buffer.from(mine.nonce, 'hex'),
    }
    return { scope, proof: await encodeProof(prover, prover.ids().slice(1), scope) }
  }
  return { clock, session, send, greet, seen, peer, me }
}

describe('a session with a peer', () => {
  it('opens with proven identities and roles', async () => {
    const { clock, session, send, greet } = rig(undefined, createTestIdentity('peer', 'peer alias'))
    const { proof } = await greet(undefined, ['relay'])
    await send(FRAME.proof, 0, proof)
    await clock.advance(1)
    expect(session.status()).toMatchObject({ state: 'open', roles: ['relay'] })
    expect(session.remote.aliases).toEqual(createTestIdentity('peer', 'peer alias').ids().slice(1))
  })
  it('closes when a proof is signed by another key', async () => {
    const { clock, send, greet, seen } = rig()
    const victim = createTestIdentity('victim')
    const { scope } = await greet()
    const forger = createTestIdentity('forger')
    const signsForAll = { ...forger, sign: (_: unknown, digest: Uint8Array) => forger.sign(forger.defaultId, digest) }
    await send(FRAME.proof, 0, await encodeProof(signsForAll, [victim.defaultId], scope))
    await clock.advance(1)
    expect(seen.closed).toMatchObject({ code: 'not-proven' })
  })
  it("closes when a proof of another session is replayed, even with the victim's true signature", async () => {
    const victim = createTestIdentity('victim', 'victim alias')
    const other = rig(undefined, victim)
    const { proof } = await other.greet(victim)
    const { clock, send, greet, seen } = rig()
    await greet()
    await send(FRAME.proof, 0, proof)
    await clock.advance(1)
    expect(seen.closed).toMatchObject({ code: 'not-proven' })
  })
  it.each([
    ['calls before the greeting', [[FRAME.call, 1]]],
    ['pings before the greeting', [[FRAME.ping, 1]]],
    ['proofs before the greeting', [[FRAME.proof, 0]]],
  ] as const)('closes on %s', async (_, frames) => {
    const { clock, send, seen } = rig()
    for (const [kind, id] of frames) await send(kind, id)
    await clock.advance(1)
    expect(seen.closed).toMatchObject({ code: 'protocol' })
  })
  it('closes when no greeting comes', async () => {
    const { clock, seen } = rig()
    await clock.advance(GREETING_TIMEOUT_MS)
    expect(seen.closed).toMatchObject({ code: 'peer-gone' })
    expect(clock.pendingTimers).toBe(0)
  })
  it('closes when the peer falls silent, and leaves no timer', async () => {
    const { clock, send, greet, seen, session } = rig()
    await send(FRAME.proof, 0, (await greet()).proof)
    await clock.advance(PING_TIMEOUT_MS - 1)
    expect(session.status().state).toBe('open')
    await clock.advance(PING_INTERVAL_MS + PING_TIMEOUT_MS)
    expect(seen.closed).toMatchObject({ code: 'peer-gone' })
    expect(clock.pendingTimers).toBe(0)
  })
  it('bounds the calls and the casts of the peer', async () => {
    const { clock, send, greet, seen, session } = rig()
    await send(FRAME.proof, 0, (await greet()).proof)
    await clock.advance(1)
    for (let id = 1; id <= CALLS_IN_FLIGHT_MAX + 20; id++) await send(FRAME.call, id)
    for (let count = 0; count < CASTS_PER_SECOND_MAX + 20; count++)
      await send(FRAME.cast, 0, encodeCast('t', bytes('x')))
    await clock.advance(1)
    expect(seen.calls).toBe(CALLS_IN_FLIGHT_MAX)
    expect(session.status().inFlight).toBe(CALLS_IN_FLIGHT_MAX)
    expect(seen.casts).toBe(CASTS_PER_SECOND_MAX)
  })
  it('closes on a call id that is in use', async () => {
    const { clock, send, greet, seen } = rig()
    await send(FRAME.proof, 0, (await greet()).proof)
    await send(FRAME.call, 1)
    await send(FRAME.call, 1)
    await clock.advance(1)
    expect(seen.closed).toMatchObject({ code: 'protocol' })
  })
})
