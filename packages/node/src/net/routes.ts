import { type emetNetApi, type netApi, type PeerDocument, RestError, type RouteHandlers } from '@emet/api'
import { fromMs, parseNodeId } from '@emet/core'
import { type Net, NetError, type Peer } from '@emet/net'

/** Binds the published net API. Golem wire: addresses are `ip:port`. */
export function createNetRoutes(net: Net): RouteHandlers<typeof netApi> {
  return {
    getStatus: async () => {
      const { nodeId, listenAddress, publicAddress, sessions } = net.status()
      return { nodeId, listenIp: listenAddress, publicIp: publicAddress, sessions }
    },
  }
}

/** Binds our own API over peers. */
export function createEmetNetRoutes(net: Net): RouteHandlers<typeof emetNetApi> {
  return {
    getStatus: async () => ({ ...net.status(), endpoints: [...net.status().endpoints] }),
    listPeers: async () => net.peers().map(toDocument),
    connect: async ({ body, signal }) => {
      const target = parseNodeId(body.target) ?? body.target
      return toDocument(await net.connect(target, { signal }).catch(refuse))
    },
    disconnect: async ({ params }) => {
      await net.disconnect(params.nodeId).catch(refuse)
      return null
    },
  }
}

function refuse(error: unknown): never {
  if (!(error instanceof NetError)) throw error
  throw new RestError(error.code === 'bad-request' ? 400 : 504, error.message, { cause: error })
}

function toDocument(peer: Peer): PeerDocument {
  return {
    ...peer,
    roles: [...peer.roles],
    aliases: [...peer.aliases],
    endpoint: peer.endpoint ?? null,
    connectedSince: peer.connectedSinceMs === undefined ? null : fromMs(peer.connectedSinceMs),
    roundTripMs: peer.roundTripMs ?? null,
  }
}
