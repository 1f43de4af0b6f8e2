import { constants, deflateSync, inflateSync } from 'node:zlib'
import { messageOf } from '@emet/core'
import { Body } from '../body.ts'
import { BusError } from '../errors.ts'
import { BODY_BYTES_MAX } from '../flexbuffers/types.ts'
import { type BroadcastRequestPacket, type CallReplyPacket, encodePacket, ReplyCode, ReplyType } from './packet.ts'

/** Golem wire: zlib (RFC 1950) at this level. */
const ZLIB_LEVEL = 6
/** Smaller bodies are sent as they are: receivers take both forms, and compression would make them larger. */
const COMPRESS_BYTES_MIN = 256

/** Bytes for another node: compressed where that saves something. */
export function packBody(body: Body): Uint8Array {
  const bytes = body.bytes()
  if (bytes.length < COMPRESS_BYTES_MIN) return bytes
  const packed = deflateSync(bytes, { level: ZLIB_LEVEL })
  return packed.length < bytes.length ? packed : bytes
}

/**
 * A body from bytes that are FlexBuffers, compressed or not. Throws `BusError` `too-large` when they would grow beyond
 * `BODY_BYTES_MAX`. Decoding waits until somebody asks for the value.
 */
export function unpackBody(data: Uint8Array): Body {
  if (!looksCompressed(data)) return Body.encoded(data)
  try {
    const options = { maxOutputLength: BODY_BYTES_MAX, finishFlush: constants.Z_FINISH }
    return Body.encoded(inflateSync(data, options))
  } catch (error) {
    if (error instanceof RangeError) {
      throw new BusError('too-large', `the body unpacks to more than ${BODY_BYTES_MAX} bytes; send it in parts`)
    }
    // Golem wire: what cannot be unpacked is taken as it is.
    return Body.encoded(data)
  }
}

/** A zlib header: deflate with a window up to 32 KiB, and a checksum over both bytes. */
function looksCompressed(data: Uint8Array): boolean {
  const [cmf = 0, flags = 1] = data
  return (cmf & 0x0f) === 8 && cmf >> 4 <= 7 && (cmf * 256 + flags) % 31 === 0
}

export type CallRequestFields = {
  /** NodeId of the caller. */
  readonly caller: string
  readonly address: string
  readonly requestId: string
  readonly body: Body
  readonly noReply?: boolean
}

/** The packet of a call to another node. */
export function encodeCallRequest(request: CallRequestFields): Uint8Array {
  const { caller, address, requestId, body, noReply = false } = request
  return encodePacket({ kind: 'call-request', caller, address, requestId, data: packBody(body), noReply })
}

/** What a call's callee answers: an item of a stream, the one reply, a stream's end, or a failure on the way. */
export type CallReply =
  | { readonly kind: 'partial'; readonly body: Body }
  | { readonly kind: 'full'; readonly body: Body }
  | { readonly kind: 'end' }
  | { readonly kind: 'failure'; readonly error: BusError }

/** The packet of a reply to another node. */
export function encodeCallReply(requestId: string, reply: CallReply): Uint8Array {
  return encodePacket(toReplyPacket(requestId, reply, packBody))
}

/** A reply as a packet; `pack` turns a body into data. */
export function toReplyPacket(requestId: string, reply: CallReply, pack: (body: Body) => Uint8Array): CallReplyPacket {
  const full = { kind: 'call-reply', requestId, code: ReplyCode.ok, type: ReplyType.full } as const
  if (reply.kind === 'end') return { ...full, data: new Uint8Array() }
  if (reply.kind === 'full') return { ...full, data: pack(reply.body) }
  if (reply.kind === 'partial') return { ...full, type: ReplyType.partial, data: pack(reply.body) }
  const { code, text } = toWireFailure(reply.error)
  return { ...full, code, data: new TextEncoder().encode(text) }
}

/** What a reply packet means. */
export function fromReplyPacket(packet: CallReplyPacket): CallReply {
  if (packet.code !== ReplyCode.ok) return { kind: 'failure', error: fromWireFailure(packet.code, packet.data) }
  if (packet.type === ReplyType.partial) return { kind: 'partial', body: unpackBody(packet.data) }
  return packet.data.length === 0 ? { kind: 'end' } : { kind: 'full', body: unpackBody(packet.data) }
}

/** The packet of a cast to another node: `body` wrapped as its subscribers expect. Golem wire: `SendBroadcastMessage`. */
export function encodeBroadcastRequest(caller: string, topic: string, body: Body): Uint8Array {
  const data = packBody(Body.of({ id: null, topic, body: body.value() }))
  return encodePacket({ kind: 'broadcast-request', caller, topic, data })
}

/** The body inside a cast. Throws `BusError` `bad-request`. */
export function broadcastBody(packet: BroadcastRequestPacket): Body {
  const message = unpackBody(packet.data).value()
  if (typeof message !== 'object' || message === null || !('body' in message)) {
    throw new BusError('bad-request', `the cast to ${packet.topic.slice(0, 100)} has no body`)
  }
  return Body.of(message.body)
}

/** Characters of the text by which a failure is told to a peer. */
const FAILURE_TEXT_MAX = 1_000
/** Golem wire: peers match on how this text ends. */
const NO_ENDPOINT = 'endpoint address not found'

/** Code and text that tell `error` to a peer. Golem wire: 400, or 500 for what failed inside. */
function toWireFailure(error: BusError): { code: number; text: string } {
  const isInside = error.code === 'service-failure' || error.code === 'closed'
  const text = messageOf(error)
  if (error.code === 'no-endpoint') return { code: ReplyCode.badRequest, text: `Bad request: ${NO_ENDPOINT}` }
  const marked = MARKED.has(error.code) ? `[${error.code}] ${text}` : text
  return { code: isInside ? ReplyCode.serviceFailure : ReplyCode.badRequest, text: marked.slice(0, FAILURE_TEXT_MAX) }
}

/** Codes that Golem's two cannot tell apart travel in front of the text, and come back between Emet nodes. */
const MARKED: ReadonlySet<string> = new Set(['timeout', 'closed', 'too-large', 'overloaded', 'unreachable'])

function fromWireFailure(code: number, data: Uint8Array): BusError {
  const text = new TextDecoder().decode(data.subarray(0, FAILURE_TEXT_MAX * 3))
  if (text.endsWith(NO_ENDPOINT)) return new BusError('no-endpoint', text)
  const [, mark, rest = ''] = /^\[([a-z-]+)\] (.*)$/s.exec(text) ?? []
  if (mark !== undefined && MARKED.has(mark)) return new BusError(mark as BusError['code'], rest)
  return new BusError(code === ReplyCode.serviceFailure ? 'service-failure' : 'bad-request', text)
}
