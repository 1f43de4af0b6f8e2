import { type Clock, type Logger, messageOf, type NodeId } from '@emet/core'
import type { Connection, Libp2p } from '@libp2p/interface'
import { NetError } from '../errors.ts'
import type { Link, StreamKind, Wire, WireHandlers } from '../session/link.ts'
import type { NetIdentity } from '../types.ts'
import { createDialler, type Dialler, nodeIdOfEndpoint } from './dialler.ts'
import { createDirectory } from './directory.ts'
import { createHost, hasTable } from './host.ts'
import { hostKey, nodeIdOfPeer } from './keys.ts'
import { createLinks, isRelayed, type Links, STREAM_LIMITS, STREAM_PROTOCOLS } from './links.ts'
import type { Libp2pOptions } from './options.ts'
import { createPresence, type Presence } from './presence.ts'
import { createRecordTable } from './record-table.ts'
import { toByteStream } from './stream.ts'

/** Nodes of the local network that are connected to without being asked. */
export const NEIGHBOURS_MAX = 32

export type Libp2pWireDeps = { identity: NetIdentity; clock: Clock; logger: Logger }

/** The parts of a running wire. */
type Parts = { host: Libp2p; dialler: Dialler; presence: Presence; links: Links }

/** libp2p as a wire. A host cannot be started twice, so each `start` makes a new one. */
export function createLibp2pWire(deps: Libp2pWireDeps, options: Libp2pOptions): Wire {
  let parts: Parts | undefined

  const running = () => parts ?? fail()
  return {
    name: 'libp2p',
    start: async (handlers) => {
      parts = await startParts(deps, options, handlers)
    },
    stop: async () => {
      const stopping = parts
      parts = undefined
      stopping?.presence.stop()
      await stopping?.host.stop()
    },
    dial: async (target, dialOptions) => {
      const { dialler, links } = running()
      const isNode = !target.startsWith('/') && target.startsWith('0x')
      const connection = isNode
        ? await dialler.toNode(target as NodeId, dialOptions)
        : await dialler.toEndpoint(target, dialOptions)
      return checkedLink(links, connection, isNode ? (target as NodeId) : undefined)
    },
    canReach: (to) => parts !== undefined && (parts.dialler.knows(to) || parts.presence.relays().length > 0),
    endpoints: () => parts?.host.getMultiaddrs().map(String) ?? [],
    nodeIdOf: nodeIdOfEndpoint,
    onSession: (nodeId, roles) => {
      if (!parts || !roles.includes('relay')) return
      const relay = parts.host.getPeers().find((peer) => nodeIdOfPeer(peer) === nodeId)
      if (relay) parts.presence.addRelay(relay)
    },
  }
}

async function startParts(deps: Libp2pWireDeps, options: Libp2pOptions, handlers: WireHandlers): Promise<Parts> {
  const key = hostKey(deps.identity)
  const host = await createHost(key, options)
  const links = createLinks()
  const directory = createDirectory({
    ...deps,
    host,
    relays: () => presence.relays(),
    ...(hasTable(options) && { table: createRecordTable(host) }),
  })
  const presence: Presence = createPresence({ ...deps, host, key, directory })
  const dialler = createDialler({ ...deps, host, directory, hasRelays: () => presence.relays().length > 0 })
  if (options.relayServer) await directory.serve()
  await takeStreams(host, links, handlers)
  host.addEventListener('connection:open', ({ detail }) => onOpen(host, links, detail, handlers))
  if (options.mdns) connectNeighbours(host, links, handlers, deps.logger)
  await host.start()
  presence.start()
  return { host, dialler, presence, links }
}

async function takeStreams(host: Libp2p, links: Links, handlers: WireHandlers): Promise<void> {
  for (const kind of ['rpc', 'bulk'] satisfies StreamKind[]) {
    await host.handle(
      STREAM_PROTOCOLS[kind],
      (stream, connection) => {
        const link = links.of(connection)
        if (link) handlers.onStream(link, kind, toByteStream(stream))
        else stream.abort(new NetError('not-proven', 'the key of the peer is not one of a node'))
      },
      { maxInboundStreams: STREAM_LIMITS[kind], maxOutboundStreams: STREAM_LIMITS[kind], runOnLimitedConnection: true },
    )
  }
}

/** A direct connection beside a relayed one: hole punching has worked, or the peer could be dialled after all. */
function onOpen(host: Libp2p, links: Links, connection: Connection, handlers: WireHandlers): void {
  if (connection.direction !== 'outbound' || isRelayed(connection)) return
  const link = links.of(connection)
  if (link && host.getConnections(connection.remotePeer).some(isRelayed)) handlers.onUsefulLink(link)
}

/** Connects to nodes of the local network as they are found. */
function connectNeighbours(host: Libp2p, links: Links, handlers: WireHandlers, logger: Logger): void {
  let connected = 0
  host.addEventListener('peer:discovery', ({ detail }) => {
    if (connected >= NEIGHBOURS_MAX || !nodeIdOfPeer(detail.id) || host.getConnections(detail.id).length > 0) return
    connected++
    host.dial(detail.id).then(
      (connection) => {
        const link = links.of(connection)
        if (link) handlers.onUsefulLink(link)
      },
      (error: unknown) => {
        connected--
        logger.debug('cannot connect to a neighbour', { peer: nodeIdOfPeer(detail.id), error: messageOf(error) })
      },
    )
  })
}

function checkedLink(links: Links, connection: Connection, wanted: NodeId | undefined): Link {
  const link = links.of(connection)
  if (link && (wanted === undefined || link.remoteId === wanted)) return link
  const found = link?.remoteId ?? `a peer with another kind of key (${connection.remotePeer})`
  const reason = new NetError('not-proven', `dialled ${wanted ?? 'an address'}, but ${found} answered`, { wanted })
  connection.abort(reason)
  throw reason
}

function fail(): never {
  throw new NetError('stopped', 'the libp2p transport is not running')
}
