/** Packets from other nodes: who may call as whom, and what of this node they may call. */
import {
  type Body,
  type Bus,
  BusError,
  broadcastBody,
  type CallReply,
  type CallRequestPacket,
  decodePacket,
  encodeCallReply,
  encodePacket,
  toCallReplies,
  unpackBody,
} from '@emet/bus'
import { type Clock, type Logger, messageOf, type NodeId, parseNodeId } from '@emet/core'
import { parseNetAddress } from './address.ts'
import { createRateLimit } from './session/cast.ts'
import type { NetIdentity, Remote } from './types.ts'

/** Refused packets are logged as warnings at most this often; the rest at debug. All are counted. */
const REFUSAL_WARNINGS_PER_SECOND_MAX = 5

type IncomingDeps = { bus: Pick<Bus, 'send' | 'publish'>; identity: NetIdentity; clock: Clock; logger: Logger }

export interface Incoming {
  onPacket(remote: Remote, packet: Uint8Array, signal: AbortSignal): AsyncIterable<Uint8Array>
  onCast(remote: Remote, topic: string, packet: Uint8Array): void
  /** Packets refused so far. */
  readonly refused: number
}

export function createIncoming({ bus, identity, clock, logger }: IncomingDeps): Incoming {
  const mayWarn = createRateLimit(clock, REFUSAL_WARNINGS_PER_SECOND_MAX)
  let refused = 0

  const refuse = (remote: Remote, error: unknown) => {
    refused++
    const fields = { peer: remote.nodeId, error: messageOf(error), refused }
    if (mayWarn()) logger.warn('refused a packet of a peer', fields)
    else logger.debug('refused a packet of a peer', fields)
  }
  async function* serve(request: CallRequestPacket, remote: Remote, signal: AbortSignal): AsyncGenerator<Body> {
    const nodeId = provenCaller(request.caller, remote)
    const address = publicAddressOf(request.address, identity)
    const mode = request.noReply ? 'none' : 'stream'
    const body = unpackBody(request.data)
    yield* bus.send({ address, caller: { kind: 'peer', nodeId }, body, mode, signal })
  }
  return {
    onPacket: async function* (remote, bytes, signal) {
      const request = readRequest(bytes)
      if (request instanceof BusError) return refuse(remote, request)
      for await (const reply of toCallReplies(serve(request, remote, signal))) {
        if (reply.kind === 'failure' && reply.error.code === 'bad-request') refuse(remote, reply.error)
        if (!request.noReply) yield encodeReply(request.requestId, reply)
      }
    },
    onCast: (remote, topic, bytes) => {
      try {
        const packet = decodePacket(bytes)
        if (packet.kind !== 'broadcast-request' || packet.topic !== topic) throw wrongKind(packet.kind)
        // Golem wire: a cast is accepted from the default identity only.
        if (parseNodeId(packet.caller) !== remote.nodeId) throw notProven(packet.caller, remote)
        bus.publish(topic, broadcastBody(packet), { kind: 'peer', nodeId: remote.nodeId })
      } catch (error) {
        refuse(remote, error)
      }
    },
    get refused() {
      return refused
    },
  }
}

/** The request, or why the packet is none: then there is nobody to answer. */
function readRequest(bytes: Uint8Array): CallRequestPacket | BusError {
  try {
    const packet = decodePacket(bytes)
    return packet.kind === 'call-request' ? packet : wrongKind(packet.kind)
  } catch (error) {
    return new BusError('bad-request', `not a packet: ${messageOf(error)}`, {}, { cause: error })
  }
}

/** Golem wire: yagna trusts the packet's caller; here the session must have proven it. */
function provenCaller(claimed: string, remote: Remote): NodeId {
  const caller = parseNodeId(claimed)
  if (caller && (caller === remote.nodeId || remote.aliases.includes(caller))) return caller
  throw notProven(claimed, remote)
}

/** Golem wire: own ids become `/public`, whatever the transport; nothing else of this node can be called. */
function publicAddressOf(address: string, identity: NetIdentity): string {
  const parsed = parseNetAddress(address)
  if (parsed && parsed.from === undefined && identity.ids().includes(parsed.to)) return parsed.publicAddress
  throw new BusError('bad-request', `Unknown address: ${address.slice(0, 200)}`)
}

function encodeReply(requestId: string, reply: CallReply): Uint8Array {
  if (reply.kind === 'failure' || reply.kind === 'end') return encodeCallReply(requestId, reply)
  const type = reply.kind === 'full' ? 0 : 1
  return encodePacket({ kind: 'call-reply', requestId, code: 0, type, data: reply.body.bytes() })
}

function notProven(claimed: string, remote: Remote): BusError {
  const text = `caller ${claimed.slice(0, 64)} is not proven by the session with ${remote.nodeId}`
  return new BusError('bad-request', text, { claimed: claimed.slice(0, 64), nodeId: remote.nodeId })
}

function wrongKind(kind: string): BusError {
  return new BusError('bad-request', `a packet of kind ${kind} came, which nodes do not send each other this way`)
}
