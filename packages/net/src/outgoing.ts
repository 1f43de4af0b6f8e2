/** Bus calls to other nodes: from the prefixes `/net/...` to the transports. */

import type { Bus, CallReply, Forwarder } from '@emet/bus'
import {
  type Body,
  type BusCall,
  BusError,
  type BusErrorCode,
  decodePacket,
  encodePacket,
  fromCallReplies,
  fromReplyPacket,
} from '@emet/bus'
import { messageOf, type NodeId } from '@emet/core'
import { type NetAddress, parseNetAddress } from './address.ts'
import { NetError, type NetErrorCode } from './errors.ts'
import type { NetIdentity, Transport } from './types.ts'

type OutgoingDeps = { bus: Pick<Bus, 'send'>; identity: NetIdentity; choose: TransportChoice }

/** The transports worth trying for a node, best first. */
export type TransportChoice = (to: NodeId) => readonly Transport[]

/** Connected ones first, then those that know a way. */
export function createTransportChoice(transports: readonly Transport[]): TransportChoice {
  const isConnected = (transport: Transport, to: NodeId) =>
    transport.peers().some((peer) => peer.nodeId === to && peer.state === 'connected')
  return (to) => {
    if (transports.length < 2) return transports
    const connected = transports.filter((transport) => isConnected(transport, to))
    if (connected.length > 0) return connected
    const hopeful = transports.filter((transport) => transport.canReach(to))
    return hopeful.length > 0 ? hopeful : transports
  }
}

export function createForwarder({ bus, identity, choose }: OutgoingDeps): Forwarder {
  let lastRequest = 0

  async function* toPeer(call: BusCall, address: NetAddress, caller: NodeId): AsyncGenerator<Body> {
    const requestId = `${++lastRequest}`
    const noReply = call.mode === 'none'
    // Not compressed: Golem wire lets the sender choose, and the transports of today are fast.
    const data = call.body.bytes()
    const packet = encodePacket({
      kind: 'call-request',
      caller,
      address: address.wireAddress,
      requestId,
      data,
      noReply,
    })
    const packets = callFirst(choose(address.to), address.to, packet, call.signal)
    yield* fromCallReplies(readReplies(packets, requestId))
  }
  return async function* forward(call) {
    const address = parseNetAddress(call.address)
    if (!address) throw new BusError('bad-request', `not an address of another node: ${call.address.slice(0, 200)}`)
    const caller = callerOf(call, address, identity)
    if (identity.ids().includes(address.to)) {
      // One of our own identities: no way around through the network.
      yield* bus.send({ ...call, address: address.publicAddress, caller: { kind: 'local', nodeId: caller } })
      return
    }
    try {
      yield* toPeer(call, address, caller)
    } catch (error) {
      throw error instanceof NetError ? toBusFailure(error, address.to) : error
    }
  }
}

/** As whom we call. Golem wire: the address says so, or it is the default identity. */
function callerOf(call: BusCall, address: NetAddress, identity: NetIdentity): NodeId {
  if (call.caller.kind === 'peer') throw new BusError('bad-request', 'this node does not pass on calls between nodes')
  const wanted = address.from ?? call.caller.nodeId ?? identity.defaultId
  if (identity.ids().includes(wanted)) return wanted
  throw new BusError('bad-request', `cannot call as ${wanted}: it is not an unlocked identity of this node`)
}

/** Calls over the first transport that reaches the node; goes on to the next only when nothing was sent. */
async function* callFirst(
  transports: readonly Transport[],
  to: NodeId,
  packet: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let failure: unknown = new NetError('unreachable', `cannot reach ${to}: this node has no transport`)
  for (const transport of transports) {
    try {
      return yield* transport.call(to, packet, { signal })
    } catch (error) {
      if (!(error instanceof NetError) || error.code !== 'unreachable') throw error
      failure = error
    }
  }
  throw failure
}

async function* readReplies(packets: AsyncIterable<Uint8Array>, requestId: string): AsyncGenerator<CallReply> {
  for await (const bytes of packets) {
    const packet = decodePacket(bytes)
    // Golem wire: replies are matched by id alone, unknown ones dropped.
    if (packet.kind === 'call-reply' && packet.requestId === requestId) yield fromReplyPacket(packet)
  }
}

const BUS_CODES: Readonly<Record<NetErrorCode, BusErrorCode>> = {
  unreachable: 'unreachable',
  'not-proven': 'unreachable',
  'peer-gone': 'closed',
  stopped: 'closed',
  'too-large': 'too-large',
  busy: 'overloaded',
  'bad-request': 'bad-request',
  protocol: 'service-failure',
  refused: 'service-failure',
}

function toBusFailure(error: NetError, to: NodeId): BusError {
  return new BusError(BUS_CODES[error.code], messageOf(error), { nodeId: to, netCode: error.code }, { cause: error })
}
