/**
 * Net: the peer network. It carries bus packets, casts and bulk streams between nodes by NodeId, over one or more
 * transports; `types.ts` is the page to read first.
 *
 *     wire (libp2p, memory)  connections whose far end is proven, and byte streams over them
 *     session/               the kept stream of a peer: greeting, further identities, calls, casts, pings; peers kept
 *     net.ts                 the bus prefixes /net/..., who may call as whom, which transport for which peer
 */
export { NetError, type NetErrorCode } from './errors.ts'
export { createNet, type NetDeps, type NetOptions } from './net.ts'
export type { SessionTransportOptions } from './session/transport.ts'
export type {
  ByteStream,
  Net,
  NetIdentity,
  NetStatus,
  Peer,
  PeerRole,
  PeerState,
  Remote,
  Transport,
  TransportHandlers,
} from './types.ts'
