import { type NodeId, parseNodeId } from '@emet/core'
import { NetError } from '../errors.ts'
import type { ByteStream, Peer, TransportHandlers } from '../types.ts'
import { createRateLimit } from './cast.ts'
import type { Keeper } from './keeper.ts'
import type { Link, Wire } from './link.ts'
import { createSession, type Session, type SessionHandlers } from './session.ts'
import { createSessions, type Sessions } from './sessions.ts'
import type { SessionTransportDeps, SessionTransportOptions } from './transport.ts'

/** Peers with a session, unless the options say otherwise. */
export const PEERS_MAX = 1000

/** Sessions per second that others may open with us, unless the options say otherwise. */
export const HANDSHAKES_PER_SECOND_MAX = 50

/** Who this node has sessions with. */
export interface Roster {
  readonly sessions: Sessions
  /** Makes a session of a fresh `rpc` stream. Fails with `busy` when there is no room for another peer. */
  begin(link: Link, stream: ByteStream): Session
  /** The same for a stream that the far end has opened: refuses instead of failing. */
  greet(link: Link, stream: ByteStream): void
  /** Resolves when there is no session with the peer any more. */
  untilGone(nodeId: NodeId, signal: AbortSignal): Promise<void>
  /** The best open session of each peer. */
  usable(): Session[]
  /** Ends all sessions, or those with one peer, and their links. */
  close(why: string, only?: NodeId): void
}

export function createRoster(
  deps: SessionTransportDeps,
  options: SessionTransportOptions,
  handlers: () => TransportHandlers,
): Roster {
  const sessions = createSessions(deps.identity.defaultId)
  const goneListeners = new Set<() => void>()
  const mayGreet = createRateLimit(deps.clock, options.handshakesPerSecondMax ?? HANDSHAKES_PER_SECOND_MAX)
  const peersMax = options.peersMax ?? PEERS_MAX

  const sessionHandlers: SessionHandlers = {
    onPacket: (remote, packet, signal) => handlers().onPacket(remote, packet, signal),
    onCast: (remote, topic, packet) => handlers().onCast(remote, topic, packet),
    onChange: (session) => {
      sessions.settle(session.remote.nodeId)
      handlers().onPeerChange()
    },
    onClose: (session) => {
      sessions.remove(session)
      for (const listener of [...goneListeners]) listener()
      handlers().onPeerChange()
    },
  }
  const begin = (link: Link, stream: ByteStream): Session => {
    const known = sessions.of(link.remoteId).length > 0
    if (!known && sessions.size >= peersMax && !closeIdlest(sessions)) {
      throw new NetError('busy', `all ${peersMax} peers of this node are in use; try again later`, { limit: peersMax })
    }
    const session = createSession({ ...deps, link, stream }, options.roles ?? [], sessionHandlers)
    sessions.add(session)
    const onReady = () => deps.wire.onSession(link.remoteId, session.status().roles)
    session.ready.then(onReady, () => {})
    return session
  }
  return {
    sessions,
    begin,
    greet: (link, stream) => {
      try {
        if (!mayGreet()) throw new NetError('busy', 'too many sessions are opened per second')
        begin(link, stream)
      } catch (error) {
        deps.logger.warn('refused a session', { peer: link.remoteId, error: String(error) })
        stream.abort(error instanceof Error ? error : new Error(String(error)))
        link.release()
      }
    },
    untilGone: (nodeId, signal) => untilGone(() => sessions.of(nodeId).length === 0, goneListeners, signal),
    usable: () => {
      const ids = new Set(sessions.all().map((session) => session.remote.nodeId))
      return [...ids].flatMap((id) => sessions.best(id) ?? [])
    },
    close: (why, only) => {
      const reason = new NetError('stopped', why)
      for (const session of only ? [...sessions.of(only)] : sessions.all()) {
        session.close(reason)
        session.link.abort(reason)
      }
    },
  }
}

/** Closes the session that has been idle for longest; peers with roles are spared. False when all are in use. */
function closeIdlest(sessions: Sessions): boolean {
  const isIdle = (session: Session) => session.status().inFlight === 0 && session.status().roles.length === 0
  const idle = sessions.all().filter(isIdle)
  const [victim] = idle.sort((a, b) => a.status().lastUsedMs - b.status().lastUsedMs)
  victim?.close(new NetError('busy', `the session with ${victim.remote.nodeId} made room for another peer`))
  return victim !== undefined
}

function untilGone(isGone: () => boolean, listeners: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      listeners.delete(check)
      signal.removeEventListener('abort', onAbort)
    }
    const onAbort = () => {
      leave()
      reject(signal.reason)
    }
    const check = () => {
      if (!isGone()) return
      leave()
      resolve()
    }
    listeners.add(check)
    signal.addEventListener('abort', onAbort, { once: true })
    check()
  })
}

/** A session as others see it. */
export function toPeer(transport: string, session: Session): Peer {
  const { link, remote } = session
  const { roles, openedMs, roundTripMs } = session.status()
  return {
    nodeId: remote.nodeId,
    state: 'connected',
    roles,
    aliases: remote.aliases,
    path: link.path,
    transport,
    connectedSinceMs: openedMs,
    ...(link.endpoint !== undefined && { endpoint: link.endpoint }),
    ...(roundTripMs !== undefined && { roundTripMs }),
  }
}

/** Bootstrap peers that are not connected, as far as their endpoints name them. */
export function waitingPeers(wire: Wire, keeper: Keeper | undefined, isConnected: (id: NodeId) => boolean): Peer[] {
  return [...(keeper?.states() ?? [])].flatMap(([endpoint, state]) => {
    const nodeId = parseNodeId(endpoint) ?? wire.nodeIdOf(endpoint)
    if (!nodeId || state === 'connected' || isConnected(nodeId)) return []
    return [{ nodeId, state, roles: [], aliases: [], path: 'direct', endpoint, transport: wire.name } as const]
  })
}
