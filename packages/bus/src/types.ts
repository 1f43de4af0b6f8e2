/**
 * The bus joins everything that exchanges messages: modules in one process, processes on one machine, nodes across the
 * network. A message has an address, a caller, a body, and one reply, a stream of replies, or none.
 *
 * ## Addresses
 *
 *     /local/<module>/<Message>            parts of this node only
 *     /public/<module>/<Message>           this node's parts and every other node
 *     /net/<nodeId>/<module>/<Message>     the same part of another node (`net` routes these)
 *     /transfer/net/..., /udp/net/...      the same over another class of transport
 *
 * The last component is the message's name. A call goes to whoever is bound to exactly its address, or else to the
 * longest routed prefix (of whole components; `/` is the prefix of everything).
 *
 * ## Replies
 *
 * Each reply body is a result map: `{ Ok: value }` or `{ Err: data }`. `bind`, `call` and `stream` wrap and unwrap it, so
 * that handlers return values and throw `ReplyError`; `route` and `send` pass result bodies through untouched, which is
 * how a packet crosses a node without being decoded. Within one process nothing is ever encoded.
 */
import type { AbortOptions, NodeId, Unregister } from '@emet/core'
import type { Body } from './body.ts'

/** Who calls, as proven by the way the call came in. A handler must check that this caller may do what it asks. */
export type Caller =
  /** A part of this node, acting for one of its identities (the default one when undefined). */
  | { readonly kind: 'local'; readonly nodeId?: NodeId }
  /** Another node. Its transport session has proven `nodeId`. */
  | { readonly kind: 'peer'; readonly nodeId: NodeId }

/** How many replies the caller wants. */
export type ReplyMode = 'one' | 'stream' | 'none'

export type BusCall = {
  readonly address: string
  readonly caller: Caller
  readonly body: Body
  readonly mode: ReplyMode
  /** Aborts when the caller is gone, gave up, or its deadline passed. */
  readonly signal: AbortSignal
}

/** Handles one message: returns the value of `Ok`, or throws `ReplyError` with the data of `Err`. */
export type Handler = (call: BusCall) => Promise<unknown> | AsyncIterable<unknown>

/**
 * Passes calls on: yields result bodies as they come from elsewhere. Fails with `BusError`. After the one reply of a call
 * that is no stream it ends at once, which is how `toCallReplies` knows.
 */
export type Forwarder = (call: BusCall) => AsyncIterable<Body>

export type CallOptions = AbortOptions & {
  /** Default: this node itself. */
  readonly caller?: Caller
  /** How long the reply (in a stream: each reply) may take. Default 60 000. */
  readonly timeoutMs?: number
}

export interface Bus {
  /** Handles the message at `address`. Fails with `BusError` `address-taken` when somebody does already. */
  bind(address: string, handler: Handler): Unregister
  /** Passes on everything below `prefix`. */
  route(prefix: string, forward: Forwarder): Unregister
  /** Calls and waits for the one reply. Throws `ReplyError` (the callee's) or `BusError` (the way there). */
  call(address: string, body: unknown, options?: CallOptions): Promise<unknown>
  /** Calls and yields replies as they come. Stopping the iteration cancels the call. */
  stream(address: string, body: unknown, options?: CallOptions): AsyncIterable<unknown>
  /** Sends without waiting for anything. */
  post(address: string, body: unknown, options?: CallOptions): void
  /** The way of forwarders: result bodies, undecoded. */
  send(call: BusCall): AsyncIterable<Body>
  /** Sends `body` to every subscriber of `topic` in this node. */
  publish(topic: string, body: unknown, caller?: Caller): void
  subscribe(topic: string, handler: (body: Body, caller: Caller) => void): Unregister
  /** Ends every call under way with `BusError` `closed`. */
  close(): void
}
