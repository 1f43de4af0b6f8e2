import { type AbortOptions, type Clock, type Logger, messageOf, type NodeId } from '@emet/core'
import { NetError } from '../errors.ts'
import type { ByteStream, Remote } from '../types.ts'
import { BULK_STREAMS_PER_PEER_MAX, readPurpose, watchEnd, writePurpose } from './bulk.ts'
import type { Link } from './link.ts'
import type { Session } from './session.ts'
import { deadline, orAbort } from './signals.ts'

/** A bulk stream must say its purpose, and its session's greeting be done, within this time. */
export const BULK_OPEN_TIMEOUT_MS = 10_000

type BulkDeskDeps = {
  clock: Clock
  logger: Logger
  sessionsOf(nodeId: NodeId): readonly Session[]
  deliver(remote: Remote, purpose: string, stream: ByteStream): void
}

/** Opens bulk streams, and takes those that peers open. */
export interface BulkDesk {
  open(session: Session, purpose: string, options?: AbortOptions): Promise<ByteStream>
  accept(link: Link, stream: ByteStream): void
}

export function createBulkDesk({ clock, logger, sessionsOf, deliver }: BulkDeskDeps): BulkDesk {
  const openByPeer = new Map<NodeId, number>()

  const count = (peer: NodeId, change: 1 | -1) => {
    const now = (openByPeer.get(peer) ?? 0) + change
    if (now > 0) openByPeer.set(peer, now)
    else openByPeer.delete(peer)
  }
  const take = async (link: Link, incoming: ByteStream) => {
    const limit = deadline(clock, BULK_OPEN_TIMEOUT_MS, () => new NetError('protocol', 'no purpose came in time'))
    try {
      const session = sessionsOf(link.remoteId)[0]
      if (!session) throw new NetError('protocol', `${link.remoteId} opened a bulk stream without a session`)
      await orAbort(session.ready, limit.signal)
      const { purpose, stream } = await orAbort(readPurpose(incoming), limit.signal)
      deliver(session.remote, purpose, stream)
    } finally {
      limit.done()
    }
  }
  return {
    open: async (session, purpose, options) => {
      const stream = await session.link.open('bulk', options)
      try {
        await writePurpose(stream, purpose)
        return stream
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(String(error)))
        throw error
      }
    },
    accept: (link, raw) => {
      const peer = link.remoteId
      if ((openByPeer.get(peer) ?? 0) >= BULK_STREAMS_PER_PEER_MAX) {
        return raw.abort(new NetError('busy', `${BULK_STREAMS_PER_PEER_MAX} bulk streams are open already`))
      }
      count(peer, 1)
      const stream = watchEnd(raw, () => count(peer, -1))
      take(link, stream).catch((error: unknown) => {
        logger.warn('refused a bulk stream', { peer, error: messageOf(error) })
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      })
    },
  }
}
