import { type AbortOptions, type NodeId, parseNodeId } from '@emet/core'
import { asNetError, NetError } from '../errors.ts'
import type { Link } from './link.ts'
import type { Roster } from './roster.ts'
import type { Session } from './session.ts'
import { deadline, orAbort } from './signals.ts'
import type { SessionTransportDeps, SessionTransportOptions } from './transport.ts'

/** Connecting, looking the node up and greeting it must be done within this time, unless the options say otherwise. */
export const CONNECT_TIMEOUT_MS = 15_000

/** Comes by a session with a peer: the one there is, the one that is being made, or a new one. */
export interface Connector {
  /** `firstTries` of the bootstrap peers are worth waiting for when no way to the node is known. */
  sessionWith(target: NodeId | string, options?: AbortOptions, firstTries?: Promise<void>): Promise<Session>
  /** The session on a link that this side has dialled. */
  sessionOn(link: Link, signal?: AbortSignal): Promise<Session>
}

export function createConnector(
  { wire, clock, identity }: SessionTransportDeps,
  options: SessionTransportOptions,
  roster: Roster,
): Connector {
  const dialling = new Map<string, Promise<Session>>()
  const limitMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS

  const sessionOn = async (link: Link, signal?: AbortSignal): Promise<Session> => {
    const onSameLink = roster.sessions.of(link.remoteId).find((session) => session.link === link)
    return whenReady(onSameLink ?? roster.begin(link, await link.open('rpc', { signal })), signal)
  }
  const dial = async (target: string, nodeId: NodeId | undefined, signal: AbortSignal, firstTries?: Promise<void>) => {
    const greeting = nodeId && roster.sessions.of(nodeId).find((session) => session.status().state === 'greeting')
    if (greeting) return whenReady(greeting, signal)
    if (nodeId && !wire.canReach(nodeId) && firstTries) await orAbort(firstTries, signal)
    const link = await wire.dial(nodeId ?? target, { signal })
    return sessionOn(link, signal)
  }
  const attempt = async (target: string, firstTries?: Promise<void>): Promise<Session> => {
    const limit = deadline(clock, limitMs, () => unreachable(target, `no session within ${limitMs} ms`))
    try {
      return await orAbort(dial(target, parseNodeId(target), limit.signal, firstTries), limit.signal)
    } catch (error) {
      throw asNetError(error, 'unreachable', `cannot connect to ${target}; check that it is up and its address right`)
    } finally {
      limit.done()
      dialling.delete(target)
    }
  }
  return {
    sessionOn,
    sessionWith: async (target, { signal } = {}, firstTries) => {
      signal?.throwIfAborted()
      const nodeId = parseNodeId(target) ?? wire.nodeIdOf(target)
      const known = nodeId && roster.sessions.best(nodeId)
      if (known) return known
      if (nodeId === identity.defaultId) throw new NetError('bad-request', `${target} is this node itself`)
      const shared = dialling.get(target) ?? attempt(target, firstTries)
      dialling.set(target, shared)
      return orAbort(shared, signal)
    },
  }
}

async function whenReady(session: Session, signal?: AbortSignal): Promise<Session> {
  await orAbort(session.ready, signal)
  return session
}

function unreachable(target: string, why: string): NetError {
  return new NetError('unreachable', `cannot reach ${target}: ${why}; check that it is up`, { target })
}
