import type { Clock, Logger, NodeId } from '@emet/core'
import type { Connection, Libp2p } from '@libp2p/interface'
import { NetError } from '../errors.ts'
import type { Link, StreamKind, Wire, WireHandlers } from '../session/link.ts'
import type { NetIdentity } from '../types.ts'
import { createDialler, type Dialler, nodeIdOfEndpoint } from './dialler.ts'
import { createDirectory } from './directory.ts'
import { createHost } from './host.ts'
import { hostKey, nodeIdOfPeer } from './keys.ts'
import { createLinks, isRelayed, type Links, STREAM_LIMITS, STREAM_PROTOCOLS } from './links.ts'
import type { Libp2pOptions } from './options.ts'
import { createPresence, type Presence } from './presence.ts'
import { toByteStream } from './stream.ts'

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
  const directory = createDirectory({ ...deps, host, relays: () => presence.relays() })
  const presence: Presence = createPresence({ ...deps, host, key, directory })
  const dialler = createDialler(host, directory)
  if (options.relayServer) await directory.serve()
  await takeStreams(host, links, handlers)
  host.addEventListener('connection:open', ({ detail }) => onOpen(host, links, detail, handlers))
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
  if (link && host.getConnections(connection.remotePeer).some(isRelayed)) handlers.onBetterLink(link)
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
