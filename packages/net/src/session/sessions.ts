/**
 * The sessions of one transport by peer. Two nodes may dial each other at once, and a direct connection may follow a
 * relayed one, so a peer can have several for a while. All but the best are retired; both sides agree on the best.
 */
import type { NodeId } from '@emet/core'
import type { Session } from './session.ts'

export interface Sessions {
  add(session: Session): void
  remove(session: Session): void
  /** The session to use for the peer, if one is open. */
  best(peer: NodeId): Session | undefined
  of(peer: NodeId): readonly Session[]
  all(): Session[]
  /** Retires all sessions of the peer but the best. */
  settle(peer: NodeId): void
  readonly size: number
}

export function createSessions(me: NodeId): Sessions {
  const byPeer = new Map<NodeId, Session[]>()

  const of = (peer: NodeId): readonly Session[] => byPeer.get(peer) ?? []
  const best = (peer: NodeId) =>
    of(peer)
      .filter((session) => session.status().state === 'open')
      .sort((a, b) => compareSessions(me, a, b))[0]
  return {
    add: (session) => {
      byPeer.set(session.remote.nodeId, [...of(session.remote.nodeId), session])
    },
    remove: (session) => {
      const left = of(session.remote.nodeId).filter((other) => other !== session)
      if (left.length > 0) byPeer.set(session.remote.nodeId, left)
      else byPeer.delete(session.remote.nodeId)
    },
    best,
    of,
    all: () => [...byPeer.values()].flat(),
    settle: (peer) => {
      const keep = best(peer)
      for (const session of of(peer)) {
        if (keep && session !== keep && session.status().state === 'open') session.retire()
      }
    },
    get size() {
      return byPeer.size
    },
  }
}

/** Direct before relayed; then the one that the lower NodeId dialled, as both sides see it; then the newer. */
function compareSessions(me: NodeId, a: Session, b: Session): number {
  const preference = (session: Session) => {
    const direct = session.link.path === 'direct' ? 2 : 0
    const dialledByLower = session.link.initiator === me < session.remote.nodeId ? 1 : 0
    return direct + dialledByLower
  }
  return preference(b) - preference(a) || b.status().openedMs - a.status().openedMs
}
