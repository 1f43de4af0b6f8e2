/**
 * A `Transport` on top of any wire: sessions with peers, made when somebody calls; bootstrap peers kept; bulk streams
 * beside the sessions.
 */
import { type Clock, type Logger, messageOf, type NodeId, parseNodeId, type Random } from '@emet/core'
import { NetError } from '../errors.ts'
import type { NetIdentity, PeerRole, Transport, TransportHandlers } from '../types.ts'
import { createBulkDesk } from './bulk-desk.ts'
import { type Connector, createConnector } from './connector.ts'
import { type Keeper, startKeeper } from './keeper.ts'
import type { Wire } from './link.ts'
import { createRoster, type Roster, toPeer, waitingPeers } from './roster.ts'

export type SessionTransportDeps = {
  wire: Wire
  identity: NetIdentity
  clock: Clock
  random: Random
  logger: Logger
}

export type SessionTransportOptions = {
  /** What this node offers to others. Default: nothing. */
  readonly roles?: readonly PeerRole[]
  /** Endpoints of peers to keep a session with, in the wire's notation. */
  readonly bootstrap?: readonly string[]
  readonly peersMax?: number
  readonly handshakesPerSecondMax?: number
  readonly connectTimeoutMs?: number
}

export function createSessionTransport(given: SessionTransportDeps, options: SessionTransportOptions = {}): Transport {
  const deps = { ...given, identity: pinIdentity(given.identity) }
  const { wire } = deps
  let handlers: TransportHandlers | undefined
  let keeper: Keeper | undefined

  const attachedHandlers = () => handlers ?? fail(`attach handlers to ${wire.name} before it is used`)
  const roster = createRoster(deps, options, attachedHandlers)
  const connector = createConnector(deps, options, roster)
  const bulk = createBulkDesk({
    ...deps,
    sessionsOf: (nodeId) => roster.sessions.of(nodeId),
    deliver: (remote, purpose, stream) => attachedHandlers().onBulk(remote, purpose, stream),
  })
  const isConnected = (nodeId: NodeId) => roster.sessions.best(nodeId) !== undefined
  const sessionWith: Connector['sessionWith'] = async (target, callOptions) => {
    if (!keeper) return fail('it is not running')
    return connector.sessionWith(target, callOptions, keeper.tried)
  }
  return {
    name: wire.name,
    attach: (attached) => {
      handlers = attached
    },
    start: async () => {
      await startWire(deps, roster, connector, bulk.accept)
      keeper = keepBootstrap(deps, options.bootstrap ?? [], roster, connector, () => attachedHandlers().onPeerChange())
    },
    stop: async () => {
      const stopping = keeper?.stop()
      keeper = undefined
      roster.close("this node's network is stopped")
      await stopping
      roster.close("this node's network is stopped")
      await wire.stop()
    },
    call: async function* (to, packet, callOptions) {
      yield* (await sessionWith(to, callOptions)).call(packet, callOptions)
    },
    cast: async (topic, packet) => {
      for (const session of roster.usable()) session.cast(topic, packet)
    },
    openBulk: async (to, purpose, bulkOptions) => bulk.open(await sessionWith(to, bulkOptions), purpose, bulkOptions),
    canReach: (to) => isConnected(to) || wire.canReach(to),
    peers: () => [
      ...roster.usable().map((session) => toPeer(wire.name, session)),
      ...waitingPeers(wire, keeper, isConnected),
    ],
    endpoints: () => wire.endpoints(),
    connect: async (target, connectOptions) => toPeer(wire.name, await sessionWith(target, connectOptions)),
    disconnect: async (nodeId) => roster.close(`this node has disconnected from ${nodeId}`, nodeId),
  }
}

/** The handshake has proven one identity; when another becomes the default one meanwhile, it is a further identity. */
function pinIdentity(identity: NetIdentity): NetIdentity {
  return {
    defaultId: identity.defaultId,
    ids: () => identity.ids(),
    handshakeKey: () => identity.handshakeKey(),
    sign: (id, digest) => identity.sign(id, digest),
    recover: (digest, signature) => identity.recover(digest, signature),
  }
}

function fail(why: string): never {
  throw new NetError('stopped', `this node's network cannot be used: ${why}`)
}

function startWire(
  { wire, logger }: SessionTransportDeps,
  roster: Roster,
  connector: Connector,
  acceptBulk: ReturnType<typeof createBulkDesk>['accept'],
): Promise<void> {
  return wire.start({
    onStream: (link, kind, stream) => (kind === 'rpc' ? roster.greet(link, stream) : acceptBulk(link, stream)),
    onUsefulLink: (link) => {
      const tell = (error: unknown) =>
        logger.debug('kept the old path to a peer', { peer: link.remoteId, error: messageOf(error) })
      connector.sessionOn(link).catch(tell)
    },
    connectedIds: () => roster.usable().map((session) => session.remote.nodeId),
  })
}

function keepBootstrap(
  deps: SessionTransportDeps,
  endpoints: readonly string[],
  roster: Roster,
  connector: Connector,
  onChange: () => void,
): Keeper {
  return startKeeper(endpoints, {
    ...deps,
    onChange,
    connect: async (endpoint, signal) => {
      const target = parseNodeId(endpoint) ?? endpoint
      return toPeer(deps.wire.name, await connector.sessionWith(target, { signal }))
    },
    untilGone: (peer, signal) => roster.untilGone(peer.nodeId, signal),
  })
}
