import { Body, type Bus, encodePacket } from '@emet/bus'
import { type Clock, type Logger, messageOf, parseNodeId, type Random, type Unregister } from '@emet/core'
import { NET_PREFIXES } from './address.ts'
import { asNetError, NetError } from './errors.ts'
import { createIncoming } from './incoming.ts'
import { createForwarder, createTransportChoice, type TransportChoice } from './outgoing.ts'
import type { ByteStream, Net, NetIdentity, Peer, Remote, Transport, TransportHandlers } from './types.ts'

/** Prefixes of bulk streams that this node serves. */
export const BULK_HANDLERS_MAX = 100

export type NetDeps = {
  /** In the order of preference. */
  transports: readonly Transport[]
  bus: Bus
  identity: NetIdentity
  clock: Clock
  random: Random
  logger: Logger
}

export type NetOptions = {
  /** The address that the operator says others reach this node at, for the status. */
  readonly publicAddress?: string
}

/**
 * The network of this node: routes the bus to other nodes and other nodes to the bus, over any number of transports.
 * A caller's claim to be somebody is checked against what its session has proven.
 */
export function createNet(deps: NetDeps, options: NetOptions = {}): Net {
  const { transports, bus, identity, logger } = deps
  // Whom the transports prove at once; a later default identity is a further one until the next start.
  const nodeId = identity.defaultId
  const choose = createTransportChoice(transports)
  const incoming = createIncoming(deps)
  const bulk = createBulkRoutes(logger)
  const peerListeners = new Set<() => void>()
  const forward = createForwarder({ bus, identity, choose })
  let routes: Unregister[] = []

  const handlers: TransportHandlers = {
    onPacket: incoming.onPacket,
    onCast: incoming.onCast,
    onBulk: bulk.onBulk,
    onPeerChange: () => {
      for (const listener of [...peerListeners]) listener()
    },
  }
  for (const transport of transports) transport.attach(handlers)

  const peers = () => transports.flatMap((transport) => transport.peers())
  const endpoints = () => transports.flatMap((transport) => transport.endpoints())
  const stop = async () => {
    for (const unregister of routes.splice(0)) unregister()
    await Promise.all(transports.map((transport) => transport.stop()))
  }
  return {
    nodeId,
    start: async () => {
      routes = NET_PREFIXES.map((prefix) => bus.route(prefix, forward))
      try {
        for (const transport of transports) await transport.start()
      } catch (error) {
        await stop()
        throw asNetError(error, 'stopped', 'the network does not start; check the listen addresses')
      }
      logger.info('the network is up', { nodeId, endpoints: endpoints() })
    },
    stop,
    status: () => ({
      nodeId,
      endpoints: endpoints(),
      listenAddress: endpoints()[0] ?? null,
      publicAddress: options.publicAddress ?? null,
      sessions: connected(peers()).length,
      refusedPackets: incoming.refused,
    }),
    peers,
    peersWith: (role) => [
      ...new Set(connected(peers()).flatMap((peer) => (peer.roles.includes(role) ? [peer.nodeId] : []))),
    ],
    onPeerChange: (listener) => {
      // A wrapper, so that the same function may listen twice.
      const entry = () => listener()
      peerListeners.add(entry)
      return () => void peerListeners.delete(entry)
    },
    openBulk: (to, purpose, bulkOptions) =>
      firstOf(choose(to), (transport) => transport.openBulk(to, purpose, bulkOptions)),
    onBulk: bulk.register,
    cast: async (topic, body) => {
      const data = Body.of({ id: null, topic, body }).bytes()
      const packet = encodePacket({ kind: 'broadcast-request', caller: nodeId, topic, data })
      await Promise.all(transports.map((transport) => transport.cast(topic, packet)))
    },
    connect: (target, connectOptions) =>
      firstOf(candidates(target, transports, choose), (transport) => transport.connect(target, connectOptions)),
    disconnect: async (peer) => {
      await Promise.all(transports.map((transport) => transport.disconnect(peer)))
    },
  }
}

const connected = (peers: readonly Peer[]) => peers.filter((peer) => peer.state === 'connected')

function candidates(target: string, transports: readonly Transport[], choose: TransportChoice): readonly Transport[] {
  const nodeId = parseNodeId(target)
  return nodeId ? choose(nodeId) : transports
}

/** The first transport's success; the last one's failure. Only failures to find a way lead to the next one. */
async function firstOf<T>(transports: readonly Transport[], run: (transport: Transport) => Promise<T>): Promise<T> {
  let failure: unknown = new NetError('unreachable', 'this node has no transport; configure one')
  for (const transport of transports) {
    try {
      return await run(transport)
    } catch (error) {
      if (!(error instanceof NetError) || !['unreachable', 'bad-request'].includes(error.code)) throw error
      failure = error
    }
  }
  throw failure
}

type BulkHandler = (remote: Remote, purpose: string, stream: ByteStream) => void

/** Bulk streams go to the handler with the longest prefix of their purpose. */
function createBulkRoutes(logger: Logger) {
  const routes = new Map<string, BulkHandler>()
  const find = (purpose: string) => {
    const fitting = [...routes].filter(([prefix]) => purpose.startsWith(prefix))
    return fitting.sort(([a], [b]) => b.length - a.length)[0]?.[1]
  }
  const drop = (remote: Remote, purpose: string, stream: ByteStream, error: Error) => {
    logger.warn('refused a bulk stream', { peer: remote.nodeId, purpose, error: messageOf(error) })
    stream.abort(error)
  }
  return {
    register: (prefix: string, handler: BulkHandler): Unregister => {
      if (routes.has(prefix)) throw new NetError('bad-request', `bulk streams for ${prefix} are served already`)
      if (routes.size >= BULK_HANDLERS_MAX) throw new NetError('busy', `${BULK_HANDLERS_MAX} bulk prefixes are served`)
      routes.set(prefix, handler)
      return () => {
        if (routes.get(prefix) === handler) routes.delete(prefix)
      }
    },
    onBulk: (remote: Remote, purpose: string, stream: ByteStream) => {
      const handler = find(purpose)
      if (!handler) return drop(remote, purpose, stream, new NetError('refused', `nobody serves bulk streams for it`))
      try {
        handler(remote, purpose, stream)
      } catch (error) {
        drop(remote, purpose, stream, asNetError(error, 'refused', 'the handler of the bulk stream failed'))
      }
    },
  }
}
