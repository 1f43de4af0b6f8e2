import type { SessionTransportOptions } from '../session/transport.ts'

export type Libp2pOptions = SessionTransportOptions & {
  /** Multiaddrs to listen on. Default `/ip4/0.0.0.0/tcp/0`. */
  readonly listen?: readonly string[]
  /** Multiaddrs to tell others instead of those listened on, for nodes behind a mapped port. */
  readonly announce?: readonly string[]
  /** Forward for nodes that cannot be reached, and answer who is where. Goes with the role `relay`. Default false. */
  readonly relayServer?: boolean
  /** Take a place at a relay so that others can reach this node. Default: unless it is a relay or has `announce`. */
  readonly reserve?: boolean
  /** Find nodes on the local network. Default false. */
  readonly mdns?: boolean
  /** Take part in the relays' Kademlia table. Default: as `relayServer`. */
  readonly dht?: boolean
  /** Connections, of all kinds. Default `CONNECTIONS_MAX`, for relays `RELAY_CONNECTIONS_MAX`. */
  readonly connectionsMax?: number
  /** Connections per second from one host. Default `CONNECTIONS_PER_HOST_PER_SECOND_MAX`. */
  readonly connectionsPerHostPerSecondMax?: number
}

/** Connections of a node. */
export const CONNECTIONS_MAX = 500

/** Connections of a relay. About 100 kB each. */
export const RELAY_CONNECTIONS_MAX = 5000

/** Nodes that may hold a place at one relay. */
export const RELAY_RESERVATIONS_MAX = 4096

/** Relayed connections that one relay carries, by end. */
export const RELAY_STREAMS_MAX = 8192

/** New connections per second from one host; each costs 10 ms of CPU before we know who it is. */
export const CONNECTIONS_PER_HOST_PER_SECOND_MAX = 20

/** Incoming connections that have not finished their handshake. */
export const PENDING_CONNECTIONS_MAX = 50

/** One address must answer within this time before the next one is tried. */
export const ADDRESS_DIAL_TIMEOUT_MS = 3000

/** The whole dial, all addresses. */
export const DIAL_TIMEOUT_MS = 10_000

/** The most that the far end may send on one stream before we have read it. */
export const STREAM_WINDOW_BYTES_MAX = 2 * 1024 * 1024
