import { noise } from '@chainsafe/libp2p-noise'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import type { Address, Libp2p, PrivateKey } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type ServiceFactoryMap } from 'libp2p'
import {
  ADDRESS_DIAL_TIMEOUT_MS,
  CONNECTIONS_MAX,
  CONNECTIONS_PER_HOST_PER_SECOND_MAX,
  DIAL_TIMEOUT_MS,
  type Libp2pOptions,
  PENDING_CONNECTIONS_MAX,
  RELAY_CONNECTIONS_MAX,
  RELAY_RESERVATIONS_MAX,
  RELAY_STREAMS_MAX,
  STREAM_WINDOW_BYTES_MAX,
} from './options.ts'

/**
 * The libp2p host, not started: TCP, Noise, Yamux, identify, circuit relay, DCUtR, and what the options ask for.
 *
 * Left out on purpose. AutoNAT: on both ends of an unlimited relayed connection it kills it. Gossip: its scoring shuts
 * out peers that share an IP address. The connection monitor: sessions have their own pings.
 */
export async function createHost(key: PrivateKey, options: Libp2pOptions): Promise<Libp2p> {
  const { listen = ['/ip4/0.0.0.0/tcp/0'], announce = [] } = options
  return createLibp2p({
    start: false,
    privateKey: key,
    nodeInfo: { userAgent: 'emet' },
    addresses: { listen: [...listen, ...(reserves(options) ? ['/p2p-circuit'] : [])], announce: [...announce] },
    transports: [
      tcp(),
      circuitRelayTransport({ maxInboundStopStreams: RELAY_STREAMS_MAX, maxOutboundStopStreams: RELAY_STREAMS_MAX }),
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES_MAX } })],
    connectionMonitor: { enabled: false },
    connectionManager: connectionManager(options),
    services: await services(options),
    ...(options.mdns && { peerDiscovery: [(await import('@libp2p/mdns')).mdns({ serviceTag: MDNS_TAG })] }),
  })
}

/** Kademlia is loaded only where it is used: it costs a quarter of the start-up time. */
async function services(options: Libp2pOptions): Promise<ServiceFactoryMap> {
  const chosen: ServiceFactoryMap = { identify: identify(), dcutr: dcutr() }
  if (options.relayServer) chosen['relay'] = relayServer()
  if (hasTable(options)) Object.assign(chosen, (await import('./table.ts')).tableServices())
  return chosen
}

/** Nodes on a local network find each other by this name. */
const MDNS_TAG = '_emet._udp.local'

/** Whether the node takes part in the relays' Kademlia table. */
export function hasTable({ dht, relayServer }: Libp2pOptions): boolean {
  return dht ?? relayServer ?? false
}

/** Whether the node takes a place at a relay. */
export function reserves({ reserve, relayServer, announce = [] }: Libp2pOptions): boolean {
  return reserve ?? (!relayServer && announce.length === 0)
}

/** Connections that the node may have, which bounds its peers too. */
export function connectionsMax(options: Libp2pOptions): number {
  return options.connectionsMax ?? (options.relayServer ? RELAY_CONNECTIONS_MAX : CONNECTIONS_MAX)
}

function connectionManager(options: Libp2pOptions) {
  return {
    maxConnections: connectionsMax(options),
    inboundConnectionThreshold: options.connectionsPerHostPerSecondMax ?? CONNECTIONS_PER_HOST_PER_SECOND_MAX,
    maxIncomingPendingConnections: PENDING_CONNECTIONS_MAX,
    addressDialTimeout: ADDRESS_DIAL_TIMEOUT_MS,
    dialTimeout: DIAL_TIMEOUT_MS,
    // Bootstrap peers are kept by the sessions above.
    reconnectRetries: 0,
    addressSorter: directFirst,
  }
}

const isRelayed = (address: Address) => address.multiaddr.toString().includes('/p2p-circuit')

function directFirst(a: Address, b: Address): -1 | 0 | 1 {
  const order = Number(isRelayed(a)) - Number(isRelayed(b))
  return order < 0 ? -1 : order > 0 ? 1 : 0
}

/** A relay without the small default limits (15 places, 2 minutes and 128 KiB per connection), but with limits. */
function relayServer() {
  return circuitRelayServer({
    reservations: { maxReservations: RELAY_RESERVATIONS_MAX, applyDefaultLimit: false },
    maxInboundHopStreams: RELAY_STREAMS_MAX,
    maxOutboundHopStreams: RELAY_STREAMS_MAX,
    maxOutboundStopStreams: RELAY_STREAMS_MAX,
  })
}
