/**
 * What a session needs of an engine. A `Wire` makes connections, a `Link` is one of them: its far end has proven
 * `remoteId` in the handshake, and it carries any number of byte streams. Everything above (greeting, calls, peers,
 * reconnecting) is written once and is the same on every wire.
 */
import type { AbortOptions, NodeId } from '@emet/core'
import type { ByteStream } from '../types.ts'

/** `rpc` is the one stream that is kept per peer; `bulk` streams come and go. */
export type StreamKind = 'rpc' | 'bulk'

export interface Link {
  /** Who the far end is, as the handshake has proven. */
  readonly remoteId: NodeId
  /** Whether this side has dialled. */
  readonly initiator: boolean
  readonly path: 'direct' | 'relayed'
  readonly endpoint: string | undefined
  open(kind: StreamKind, options?: AbortOptions): Promise<ByteStream>
  /** This session no longer needs the link: close it unless other streams run on it. */
  release(): void
  /** Cuts the link at once. */
  abort(reason: Error): void
}

export type WireHandlers = {
  /** The far end has opened a stream. */
  onStream(link: Link, kind: StreamKind, stream: ByteStream): void
  /** A link worth a session came about by itself: hole punching has worked, or a neighbour was found. */
  onUsefulLink(link: Link): void
  /** Whether `nodeId` is a peer with an open session; the wire prefers such peers for look-ups. */
  connectedIds(): NodeId[]
}

export interface Wire {
  readonly name: string
  start(handlers: WireHandlers): Promise<void>
  stop(): Promise<void>
  /** Connects, looking a NodeId up if need be. Fails with `NetError`. */
  dial(target: NodeId | string, options?: AbortOptions): Promise<Link>
  /** Whether there is any hope to reach the node: an address, or somebody to ask. */
  canReach(to: NodeId): boolean
  endpoints(): string[]
  /** The NodeId an endpoint names, if it does. */
  nodeIdOf(endpoint: string): NodeId | undefined
  /** A session with `nodeId` is open; its roles are known. Relays are told where we are. */
  onSession(nodeId: NodeId, roles: readonly string[]): void
}
