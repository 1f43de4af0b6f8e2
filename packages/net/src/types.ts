/**
 * The peer network carries bus packets between nodes by NodeId. It knows peers and bytes, and nothing of markets.
 *
 * `Transport` is the seam: one implementation per engine (`libp2p/`, `memory/` for tests and simulation, later the
 * original relay protocol). `Net` stands above the transports: it routes the bus prefixes `/net/<nodeId>/...` to them,
 * hands incoming packets to `/public/...`, and refuses callers that the session has not proven.
 */
import type { AbortOptions, NodeId, Service, Unregister } from '@emet/core'

/** What a peer offers to the network beside its own trade. */
export type PeerRole =
  /** Forwards for nodes that cannot be reached, and lets newcomers find others. */
  | 'relay'
  /** Keeps other nodes' offers and answers queries over them. */
  | 'index'

export type PeerState = 'connecting' | 'connected' | 'backing-off'

export type Peer = {
  readonly nodeId: NodeId
  readonly state: PeerState
  readonly roles: readonly PeerRole[]
  /** Further identities that this peer has proven. */
  readonly aliases: readonly NodeId[]
  readonly path: 'direct' | 'relayed'
  readonly endpoint?: string
  readonly transport: string
  readonly connectedSinceMs?: number
  readonly roundTripMs?: number
}

/** An ordered, reliable stream of bytes with back-pressure. */
export interface ByteStream extends AsyncDisposable {
  /** Incoming bytes; ends when the other side has finished writing. */
  readonly source: AsyncIterable<Uint8Array>
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>
  /** Says that nothing more will be written. */
  finish(): Promise<void>
  /** Drops the stream at once, both ways. */
  abort(reason: Error): void
}

/** The proven far end of a packet or a stream. */
export type Remote = { readonly nodeId: NodeId; readonly aliases: readonly NodeId[] }

export type TransportHandlers = {
  /** One packet in, reply packets out (none for one-way packets). `signal` aborts when the caller is gone. */
  onPacket(remote: Remote, packet: Uint8Array, signal: AbortSignal): AsyncIterable<Uint8Array>
  onCast(remote: Remote, topic: string, packet: Uint8Array): void
  onBulk(remote: Remote, purpose: string, stream: ByteStream): void
  onPeerChange(): void
}

export interface Transport extends Service {
  readonly name: string
  /** Set once by `Net`, before `start`. */
  attach(handlers: TransportHandlers): void
  /** Sends a packet and yields the reply packets. Connects first if need be. Stopping the iteration cancels. */
  call(to: NodeId, packet: Uint8Array, options?: AbortOptions): AsyncIterable<Uint8Array>
  /** To the connected peers: best effort, at most once. */
  cast(topic: string, packet: Uint8Array): Promise<void>
  openBulk(to: NodeId, purpose: string, options?: AbortOptions): Promise<ByteStream>
  /** Whether this transport could reach the node: connected, or it knows a way. */
  canReach(to: NodeId): boolean
  peers(): Peer[]
  /** Addresses at which others can reach this node, in the transport's own notation. */
  endpoints(): string[]
  /** Connects to `target`: a NodeId that is looked up, or an endpoint. */
  connect(target: NodeId | string, options?: AbortOptions): Promise<Peer>
  disconnect(nodeId: NodeId): Promise<void>
}

export type NetStatus = {
  readonly nodeId: NodeId
  readonly endpoints: readonly string[]
  readonly listenAddress: string | null
  readonly publicAddress: string | null
  /** Connected peers. */
  readonly sessions: number
  /** Packets refused so far: not proven callers, unknown addresses, broken packets. */
  readonly refusedPackets: number
}

export interface Net extends Service {
  readonly nodeId: NodeId
  status(): NetStatus
  peers(): Peer[]
  /** Connected peers that offer `role`. */
  peersWith(role: PeerRole): NodeId[]
  /** Calls `listener` after any change of `peers()`. */
  onPeerChange(listener: () => void): Unregister
  openBulk(to: NodeId, purpose: string, options?: AbortOptions): Promise<ByteStream>
  /** Serves bulk streams whose purpose begins with `prefix`. */
  onBulk(prefix: string, handler: (remote: Remote, purpose: string, stream: ByteStream) => void): Unregister
  /** Casts to connected peers, which receive it as `bus.publish(topic, ...)` with the proven caller. */
  cast(topic: string, body: unknown): Promise<void>
  connect(target: NodeId | string, options?: AbortOptions): Promise<Peer>
  disconnect(nodeId: NodeId): Promise<void>
}

/** What `Net` and the transports need of the identity module. */
export interface NetIdentity {
  readonly defaultId: NodeId
  /** All unlocked identities, the default one first. */
  ids(): NodeId[]
  /** The private key of the default identity, for the transport's handshake. 32 bytes. */
  handshakeKey(): Uint8Array
  /** Signs a 32-byte digest with an identity: 65 bytes `v || r || s`, v = 0 or 1. */
  sign(id: NodeId, digest: Uint8Array): Promise<Uint8Array>
  /** The identity that made `signature` over `digest`, if it is a signature. */
  recover(digest: Uint8Array, signature: Uint8Array): NodeId | undefined
}
