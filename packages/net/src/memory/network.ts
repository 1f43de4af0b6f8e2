import {
  type Clock,
  type Logger,
  type NodeId,
  parseNodeId,
  type Random,
  randomFraction,
  silentLogger,
} from '@emet/core'
import { NetError } from '../errors.ts'
import type { Link, StreamKind, Wire, WireHandlers } from '../session/link.ts'
import { createSessionTransport, type SessionTransportOptions } from '../session/transport.ts'
import type { ByteStream, NetIdentity, Transport } from '../types.ts'
import { createPipe, type Pipe } from './pipe.ts'

/** How long a dial over a cut path takes to fail. */
export const MEMORY_DIAL_TIMEOUT_MS = 5000

/** What a lost chunk costs: streams are reliable, so a loss is a delay. */
export const RETRANSMIT_MS = 200

/** What the network does to those who use it. Asked for each chunk, so a test may change its mind at any time. */
export type MemoryFaults = {
  /** One way, in milliseconds. Default 0: delivered at once, without a timer. */
  latencyMs?(from: NodeId, to: NodeId): number
  /** The chance, 0 to 1, that a chunk must be sent again. Default 0. */
  loss?(from: NodeId, to: NodeId): number
  /** Whether the path is cut at present. Default: never. */
  isCut?(a: NodeId, b: NodeId): boolean
}

export type MemoryNetworkDeps = { clock: Clock; random: Random; faults?: MemoryFaults }

/** A network within one process: each transport made from it can reach each other one. */
export interface MemoryNetwork {
  createTransport(identity: NetIdentity, options?: SessionTransportOptions, logger?: Logger): Transport
  /** Nothing gets through between the groups any more; a node in no group reaches all. */
  partition(...groups: NodeId[][]): void
  /** Ends the partition, and lets go on what `faults.isCut` held up. */
  heal(): void
  /** Breaks all connections of a node, as a crash of its process does. */
  crash(nodeId: NodeId): void
}

type Attached = { handlers: WireHandlers; links: Set<MemoryLink> }
type MemoryLink = { ends: readonly [NodeId, NodeId]; pipes: Set<Pipe>; abort(reason: Error): void }

/** The endpoint of a node in a memory network. */
export const memoryEndpoint = (nodeId: NodeId): string => `memory:${nodeId}`

export function createMemoryNetwork({ clock, random, faults = {} }: MemoryNetworkDeps): MemoryNetwork {
  const nodes = new Map<NodeId, Attached>()
  let groups: NodeId[][] = []

  const groupOf = (id: NodeId) => groups.findIndex((group) => group.includes(id))
  const isCut = (a: NodeId, b: NodeId) => {
    const [groupA, groupB] = [groupOf(a), groupOf(b)]
    return (groupA >= 0 && groupB >= 0 && groupA !== groupB) || (faults.isCut?.(a, b) ?? false)
  }
  const delayMs = (from: NodeId, to: NodeId) => {
    let delay = faults.latencyMs?.(from, to) ?? 0
    const loss = Math.min(faults.loss?.(from, to) ?? 0, 0.95)
    while (loss > 0 && randomFraction(random) < loss) delay += RETRANSMIT_MS
    return delay
  }
  const pipe = (from: NodeId, to: NodeId) =>
    createPipe({ clock, delayMs: () => delayMs(from, to), isCut: () => isCut(from, to) })

  const dial = async (from: NodeId, to: NodeId, signal?: AbortSignal): Promise<Link> => {
    if (isCut(from, to)) await clock.sleep(MEMORY_DIAL_TIMEOUT_MS, signal)
    const handshakeMs = delayMs(from, to) + delayMs(to, from)
    if (handshakeMs > 0) await clock.sleep(handshakeMs, signal)
    const [near, far] = [nodes.get(from), nodes.get(to)]
    if (!near || !far || isCut(from, to)) {
      throw new NetError('unreachable', `cannot reach ${to} in the memory network; check that it is started`, { to })
    }
    return connect(near, far, from, to, pipe)
  }
  return {
    createTransport: (identity, options = {}, logger = silentLogger) => {
      const wire = createMemoryWire(identity.defaultId, nodes, dial)
      return createSessionTransport({ wire, identity, clock, random, logger }, options)
    },
    partition: (...given) => {
      groups = given
    },
    heal: () => {
      groups = []
      for (const { links } of nodes.values()) for (const link of links) for (const held of link.pipes) held.kick()
    },
    crash: (nodeId) => crash(nodes.get(nodeId), `${nodeId} crashed`),
  }
}

function createMemoryWire(
  me: NodeId,
  nodes: Map<NodeId, Attached>,
  dial: (from: NodeId, to: NodeId, signal?: AbortSignal) => Promise<Link>,
): Wire {
  const nodeIdOf = (endpoint: string) => parseNodeId(endpoint.replace(/^memory:/, ''))
  return {
    name: 'memory',
    start: async (handlers) => {
      nodes.set(me, { handlers, links: new Set() })
    },
    stop: async () => {
      crash(nodes.get(me), `${me} stopped`)
      nodes.delete(me)
    },
    dial: async (target, options) => {
      const to = nodeIdOf(target)
      if (!to) throw new NetError('bad-request', `not an endpoint of the memory network: ${target}`, { target })
      return dial(me, to, options?.signal)
    },
    canReach: (to) => nodes.has(to),
    endpoints: () => [memoryEndpoint(me)],
    nodeIdOf,
    onSession: () => {},
  }
}

function crash(node: Attached | undefined, why: string): void {
  for (const link of [...(node?.links ?? [])]) link.abort(new NetError('peer-gone', why))
}

/** A link between two nodes, seen from both ends. */
function connect(
  near: Attached,
  far: Attached,
  from: NodeId,
  to: NodeId,
  makePipe: (from: NodeId, to: NodeId) => Pipe,
): Link {
  const pipes = new Set<Pipe>()
  const abort = (reason: Error) => {
    for (const pipe of pipes) pipe.break(reason)
    near.links.delete(link)
    far.links.delete(link)
  }
  const link: MemoryLink = { ends: [from, to], pipes, abort }
  near.links.add(link)
  far.links.add(link)

  const makeEnd = (me: NodeId, other: NodeId, peer: Attached, otherEnd: () => Link): Link => ({
    remoteId: other,
    initiator: me === from,
    path: 'direct',
    endpoint: memoryEndpoint(other),
    open: async (kind: StreamKind) => {
      if (!near.links.has(link)) throw new NetError('peer-gone', `the connection to ${other} is closed`)
      const [out, back] = [makePipe(me, other), makePipe(other, me)]
      pipes.add(out).add(back)
      queueMicrotask(() => peer.handlers.onStream(otherEnd(), kind, toStream(back, out, pipes)))
      return toStream(out, back, pipes)
    },
    release: () => {},
    abort,
  })
  const nearEnd: Link = makeEnd(from, to, far, () => farEnd)
  const farEnd: Link = makeEnd(to, from, near, () => nearEnd)
  return nearEnd
}

function toStream(out: Pipe, back: Pipe, pipes: Set<Pipe>): ByteStream {
  const abort = (reason: Error) => {
    out.break(reason)
    back.break(reason)
    pipes.delete(out)
    pipes.delete(back)
  }
  let finished = false
  return {
    source: back.source,
    write: (bytes) => out.write(bytes),
    finish: async () => {
      finished = true
      out.finish()
    },
    abort,
    [Symbol.asyncDispose]: async () => {
      if (!finished) abort(new NetError('peer-gone', 'the stream was dropped'))
    },
  }
}
