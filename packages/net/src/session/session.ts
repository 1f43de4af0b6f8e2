/**
 * A session is the kept stream to one peer: greeting, proofs of further identities, calls both ways, casts, pings.
 *
 *     greeting -> open -> (retiring ->) closed
 *
 * A retiring session takes no new calls of ours, since a better one to the same peer exists; it closes when both sides
 * have retired it and nothing is under way.
 */
import type { AbortOptions, Clock, Logger, Random } from '@emet/core'
import { asNetError, NetError } from '../errors.ts'
import type { ByteStream, NetIdentity, PeerRole, Remote } from '../types.ts'
import { type Callee, createCallee } from './callee.ts'
import { type Caller, createCaller } from './caller.ts'
import { CASTS_PER_SECOND_MAX, createRateLimit, decodeCast, encodeCast } from './cast.ts'
import { createFrameReader, encodeFrame, FRAME, type Frame } from './frame.ts'
import { createGreeting, type Greeting } from './greeting.ts'
import type { Link } from './link.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createPulse, type Pulse } from './pulse.ts'

/** The greeting must be done within this time. */
export const GREETING_TIMEOUT_MS = 10_000

export type SessionDeps = {
  link: Link
  stream: ByteStream
  identity: NetIdentity
  clock: Clock
  random: Random
  logger: Logger
}

export type SessionHandlers = {
  onPacket(remote: Remote, packet: Uint8Array, signal: AbortSignal): AsyncIterable<Uint8Array>
  onCast(remote: Remote, topic: string, packet: Uint8Array): void
  /** The greeting is done; aliases, the round trip or the state are new. */
  onChange(session: Session): void
  onClose(session: Session, reason: Error): void
}

export type SessionState = 'greeting' | 'open' | 'retiring' | 'closed'

export type SessionStatus = {
  readonly state: SessionState
  readonly roles: readonly PeerRole[]
  readonly openedMs: number
  /** The last time a call was made or served, for choosing what to close. */
  readonly lastUsedMs: number
  readonly roundTripMs: number | undefined
  /** Calls under way, both directions. */
  readonly inFlight: number
}

export interface Session {
  readonly link: Link
  readonly remote: Remote
  status(): SessionStatus
  /** Resolves when the greeting is done; rejects when it fails. */
  readonly ready: Promise<void>
  call(packet: Uint8Array, options?: AbortOptions): AsyncIterable<Uint8Array>
  /** False when the way is congested: the cast is dropped. */
  cast(topic: string, packet: Uint8Array): boolean
  /** Begins no more calls here; a better session takes over. */
  retire(): void
  close(reason: Error): void
}

/** What the parts of one session share. */
type Parts = { greeting: Greeting; outbox: Outbox; caller: Caller; callee: Callee; pulse: Pulse }

export function createSession(deps: SessionDeps, roles: readonly PeerRole[], handlers: SessionHandlers): Session {
  const { link, stream, clock } = deps
  const peer = link.remoteId
  const logger = deps.logger.child({ peer })
  const openedMs = clock.nowMs()
  let state: SessionState = 'greeting'
  let lastUsedMs = openedMs
  let cancelTimer = () => {}

  const close = (reason: Error) => {
    if (state === 'closed') return
    state = 'closed'
    cancelTimer()
    parts.pulse.stop()
    for (const part of [parts.outbox, parts.caller, parts.callee]) part.close(reason)
    parts.greeting.fail(reason)
    stream.abort(reason)
    link.release()
    logger.debug('closed a session', { reason: reason.message })
    handlers.onClose(session, reason)
  }
  const lost = (error: unknown) =>
    close(asNetError(error, 'peer-gone', `the session with ${peer} broke; try again, and check that the node is up`))
  const onPacket = (packet: Uint8Array, signal: AbortSignal) => {
    lastUsedMs = clock.nowMs()
    return handlers.onPacket(parts.greeting.remote, packet, signal)
  }
  const parts = createParts(deps, roles, { lost, onPacket, onDone: () => retirement.check() })
  const retirement = createRetirement(link, parts, close)
  const session: Session = {
    link,
    remote: parts.greeting.remote,
    status: () => ({
      state,
      roles: parts.greeting.roles,
      openedMs,
      lastUsedMs,
      roundTripMs: parts.pulse.roundTripMs,
      inFlight: parts.caller.inFlight + parts.callee.inFlight,
    }),
    ready: parts.greeting.done,
    call: async function* (packet, options) {
      await parts.greeting.done
      lastUsedMs = clock.nowMs()
      await parts.greeting.proveNews()
      yield* parts.caller.call(packet, options)
    },
    cast: (topic, packet) => parts.outbox.offer(encodeFrame(FRAME.cast, 0, encodeCast(topic, packet))),
    retire: () => {
      if (state === 'open') state = 'retiring'
      if (state !== 'closed') retirement.begin()
    },
    close,
  }
  const open = () => {
    if (state !== 'greeting') return
    state = retirement.begun() ? 'retiring' : 'open'
    cancelTimer()
    parts.pulse.start()
    handlers.onChange(session)
  }
  const take = createDispatch(parts, {
    onRetire: () => {
      retirement.onPeer()
      session.retire()
      handlers.onChange(session)
    },
    onCast: createCastIntake(deps, parts.greeting.remote, handlers),
    onNews: () => state !== 'greeting' && handlers.onChange(session),
    lost,
  })
  cancelTimer = clock.setTimer(GREETING_TIMEOUT_MS, () => lost(new Error('it did not greet in time')))
  parts.greeting.done.then(open, () => {})
  parts.greeting.sendHello().catch(lost)
  readFrames(stream, parts.pulse, take).then(() => lost(new Error('it ended the session')), lost)
  return session
}

/** Ends a session that both sides have retired once nothing is under way. */
function createRetirement(link: Link, { outbox, caller, callee }: Parts, close: (reason: Error) => void) {
  let byUs = false
  let byPeer = false
  const check = () => {
    // The one who dialled ends it, so that a last reply is never cut off by the other side.
    if (!byUs || !byPeer || !link.initiator || caller.inFlight + callee.inFlight > 0) return
    close(new NetError('peer-gone', `the session with ${link.remoteId} was replaced by a better one`))
  }
  return {
    check,
    begun: () => byUs,
    begin: () => {
      if (!byUs) outbox.control(encodeFrame(FRAME.retire, 0))
      byUs = true
      check()
    },
    onPeer: () => {
      byPeer = true
      check()
    },
  }
}

type PartEvents = {
  lost(error: unknown): void
  onPacket(packet: Uint8Array, signal: AbortSignal): AsyncIterable<Uint8Array>
  onDone(): void
}

function createParts(deps: SessionDeps, roles: readonly PeerRole[], events: PartEvents): Parts {
  const { link, identity, random, clock } = deps
  const peer = link.remoteId
  const outbox = createOutbox(deps.stream, events.lost)
  const pulse = createPulse({
    clock,
    sendPing: (id) => outbox.control(encodeFrame(FRAME.ping, id)),
    onSilence: (ms) => events.lost(new Error(`it has been silent for ${Math.round(ms)} ms`)),
  })
  return {
    outbox,
    pulse,
    greeting: createGreeting({ peer, identity, random, outbox }, roles),
    caller: createCaller(peer, outbox, events.onDone),
    callee: createCallee(outbox, events.onPacket, deps.logger.child({ peer }), events.onDone),
  }
}

type Events = { onRetire(): void; onCast(frame: Frame): void; onNews(): void; lost(error: unknown): void }

/** Hands each frame to the part that it is for. Kinds of later versions are passed over. */
function createDispatch(parts: Parts, events: Events): (frame: Frame) => void {
  const { greeting, caller, callee, outbox, pulse } = parts
  const toCallee = (frame: Frame) => callee.onFrame(frame)
  const toCaller = (frame: Frame) => caller.onFrame(frame)
  const take: Record<number, (frame: Frame) => void> = {
    [FRAME.hello]: (frame) => void greeting.onHello(frame).catch(events.lost),
    [FRAME.proof]: (frame) => {
      greeting.onProof(frame)
      events.onNews()
    },
    [FRAME.call]: toCallee,
    [FRAME.cancel]: toCallee,
    [FRAME.credit]: toCallee,
    [FRAME.reply]: toCaller,
    [FRAME.end]: toCaller,
    [FRAME.fail]: toCaller,
    [FRAME.ping]: (frame) => outbox.control(encodeFrame(FRAME.pong, frame.id)),
    [FRAME.pong]: (frame) => pulse.onPong(frame.id) && events.onNews(),
    [FRAME.cast]: events.onCast,
    [FRAME.retire]: events.onRetire,
  }
  let proven = false
  return (frame) => {
    if (frame.kind === FRAME.proof) proven = true
    else if (!proven && frame.kind !== FRAME.hello && frame.kind !== FRAME.retire) {
      throw new NetError('protocol', `the peer sent a frame of kind ${frame.kind} before its greeting was done`)
    }
    take[frame.kind]?.(frame)
  }
}

function createCastIntake(deps: SessionDeps, remote: Remote, handlers: SessionHandlers): (frame: Frame) => void {
  const mayCome = createRateLimit(deps.clock, CASTS_PER_SECOND_MAX)
  return (frame) => {
    if (!mayCome()) return deps.logger.debug('dropped a cast: the peer sends too many', { peer: remote.nodeId })
    const { topic, packet } = decodeCast(frame.payload)
    handlers.onCast(remote, topic, packet)
  }
}

async function readFrames(stream: ByteStream, pulse: Pulse, take: (frame: Frame) => void): Promise<void> {
  const reader = createFrameReader()
  for await (const chunk of stream.source) {
    pulse.heard()
    for (const frame of reader.push(chunk)) take(frame)
  }
}
