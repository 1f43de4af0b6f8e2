import type { AbortOptions } from '@emet/core'
import type { Connection } from '@libp2p/interface'
import { asNetError, NetError } from '../errors.ts'
import { BULK_STREAMS_PER_PEER_MAX } from '../session/bulk.ts'
import type { Link, StreamKind } from '../session/link.ts'
import { nodeIdOfPeer } from './keys.ts'
import { toByteStream } from './stream.ts'

/** The protocol names of our streams. */
export const STREAM_PROTOCOLS: Readonly<Record<StreamKind, string>> = { rpc: '/emet/rpc/1', bulk: '/emet/bulk/1' }

/** Streams per connection and protocol; the session layer counts bulk streams per peer and is a little stricter. */
export const STREAM_LIMITS: Readonly<Record<StreamKind, number>> = { rpc: 4, bulk: BULK_STREAMS_PER_PEER_MAX + 16 }

export const isRelayed = (connection: Connection): boolean => connection.remoteAddr.toString().includes('/p2p-circuit')

/** Connections as links; the same connection is always the same link. */
export interface Links {
  /** Undefined for a peer whose key is of another kind than nodes have. */
  of(connection: Connection): Link | undefined
}

export function createLinks(): Links {
  const links = new WeakMap<Connection, Link>()
  return {
    of: (connection) => {
      const known = links.get(connection)
      if (known) return known
      const link = toLink(connection)
      if (link) links.set(connection, link)
      return link
    },
  }
}

function toLink(connection: Connection): Link | undefined {
  const remoteId = nodeIdOfPeer(connection.remotePeer)
  if (!remoteId) return undefined
  return {
    remoteId,
    initiator: connection.direction === 'outbound',
    path: isRelayed(connection) ? 'relayed' : 'direct',
    endpoint: connection.remoteAddr.toString(),
    open: (kind, options) => open(connection, kind, options),
    release: () => {
      const inUse = connection.streams.some((stream) => stream.status === 'open')
      if (!inUse) connection.close().catch((error: unknown) => connection.abort(asError(error)))
    },
    abort: (reason) => connection.abort(reason),
  }
}

async function open(connection: Connection, kind: StreamKind, options: AbortOptions = {}) {
  try {
    const stream = await connection.newStream(STREAM_PROTOCOLS[kind], {
      ...(options.signal && { signal: options.signal }),
      runOnLimitedConnection: true,
      maxOutboundStreams: STREAM_LIMITS[kind],
    })
    return toByteStream(stream)
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason
    const peer = nodeIdOfPeer(connection.remotePeer)
    throw asNetError(error, 'peer-gone', `${peer} does not take a ${kind} stream; check that it is an Emet node and up`)
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new NetError('peer-gone', String(error))
}
