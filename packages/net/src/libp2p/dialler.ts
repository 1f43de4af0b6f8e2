import { type AbortOptions, type Clock, messageOf, type NodeId } from '@emet/core'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { NetError } from '../errors.ts'
import type { Directory, Location } from './directory.ts'
import { nodeIdOfPeer } from './keys.ts'
import { isRelayed } from './links.ts'

/** Places of nodes that are remembered, for when no relay can be asked. */
export const LOCATIONS_MAX = 10_000

/** A node that has just come, or has just got its place at a relay, is found by asking again after these pauses. */
export const SEEK_AGAIN_PAUSES_MS: readonly number[] = [100, 500]

/** Gets a connection to a node, by NodeId or by address. */
export interface Dialler {
  toNode(nodeId: NodeId, options?: AbortOptions): Promise<Connection>
  toEndpoint(endpoint: string, options?: AbortOptions): Promise<Connection>
  /** Whether we are connected to the node, or remember where it was. */
  knows(nodeId: NodeId): boolean
}

type DiallerDeps = { host: Libp2p; clock: Clock; directory: Pick<Directory, 'find'>; hasRelays(): boolean }

export function createDialler({ host, clock, directory, hasRelays }: DiallerDeps): Dialler {
  const places = new Map<NodeId, { peerId: PeerId; addresses: readonly Multiaddr[] }>()

  const remember = (nodeId: NodeId, peerId: PeerId, addresses: readonly Multiaddr[]) => {
    places.delete(nodeId)
    places.set(nodeId, { peerId, addresses })
    const [oldest] = places.keys()
    if (places.size > LOCATIONS_MAX && oldest) places.delete(oldest)
  }
  const current = (nodeId: NodeId): Connection | undefined => {
    const peerId = places.get(nodeId)?.peerId
    if (!peerId) return undefined
    const open = host.getConnections(peerId).filter((connection) => connection.status === 'open')
    return open.sort((a, b) => Number(isRelayed(a)) - Number(isRelayed(b)))[0]
  }
  const dial = async (addresses: Multiaddr[], target: string, options: AbortOptions = {}): Promise<Connection> => {
    try {
      return await host.dial(addresses, options.signal && { signal: options.signal })
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      throw unreachable(target, detailOf(error), error)
    }
  }
  const seek = async (nodeId: NodeId, options?: AbortOptions): Promise<Connection> => {
    const found = await directory.find(nodeId, options)
    if (found) remember(nodeId, found.record.peerId, addressesOf(found))
    const place = places.get(nodeId)
    if (place && place.addresses.length > 0) return dial(withPeer(place.addresses, place.peerId), nodeId, options)
    const why = hasRelays() ? 'no relay that this node is connected to knows it' : 'no relay is connected to ask'
    throw unreachable(nodeId, why)
  }
  host.addEventListener('connection:open', ({ detail: connection }) => {
    const nodeId = nodeIdOfPeer(connection.remotePeer)
    const known = nodeId && places.get(nodeId)?.addresses
    if (!nodeId) return
    const usable = connection.direction === 'outbound' ? [connection.remoteAddr] : []
    remember(nodeId, connection.remotePeer, known?.length ? known : usable)
  })
  return {
    knows: (nodeId) => current(nodeId) !== undefined || (places.get(nodeId)?.addresses.length ?? 0) > 0,
    toNode: async (nodeId, options) => {
      for (const pauseMs of SEEK_AGAIN_PAUSES_MS) {
        try {
          return current(nodeId) ?? (await seek(nodeId, options))
        } catch (error) {
          options?.signal?.throwIfAborted()
          if (!hasRelays()) throw error
          await clock.sleep(pauseMs, options?.signal)
        }
      }
      return current(nodeId) ?? seek(nodeId, options)
    },
    toEndpoint: async (endpoint, options) => dial([parseEndpoint(endpoint)], endpoint, options),
  }
}

/** The node's own addresses, and the way over the relay that it is connected to. */
function addressesOf({ record, via }: Location): Multiaddr[] {
  const relayed = via.map((relay) => relay.encapsulate('/p2p-circuit'))
  return [...record.addresses, ...relayed]
}

function withPeer(addresses: readonly Multiaddr[], peerId: PeerId): Multiaddr[] {
  const suffix = `/p2p/${peerId}`
  const named = addresses.map((address) =>
    address.toString().endsWith(suffix) ? address : address.encapsulate(suffix),
  )
  return [...new Map(named.map((address) => [address.toString(), address])).values()]
}

function parseEndpoint(endpoint: string): Multiaddr {
  try {
    return multiaddr(endpoint)
  } catch (error) {
    const text = `not an address: ${JSON.stringify(endpoint)}; write it as /ip4/192.0.2.1/tcp/4001/p2p/16Uiu2…`
    throw new NetError('bad-request', text, { endpoint }, { cause: error })
  }
}

/** The NodeId that an address names with its last `/p2p/` part. */
export function nodeIdOfEndpoint(endpoint: string): NodeId | undefined {
  try {
    const name = multiaddr(endpoint)
      .getComponents()
      .findLast((component) => component.code === CODE_P2P)?.value
    return name ? nodeIdOfPeer(peerIdFromString(name)) : undefined
  } catch {
    return undefined
  }
}

function unreachable(target: string, why: string, cause?: unknown): NetError {
  return new NetError('unreachable', `cannot reach ${target}: ${why}; check that it is up`, { target }, { cause })
}

function detailOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join(', ').slice(0, 500)
  return messageOf(error)
}
