import { BusError } from '../errors.ts'
import { decodeFields, encodeFields, encodeNested, type Fields, readFields } from './protobuf.ts'

/** The largest packet. Golem's own limit lies far above what its messages need; ours bounds what a peer can make us hold. */
export const PACKET_BYTES_MAX = 33 * 1024 * 1024

/** Code of a call's reply. Golem wire: the text of a failure stands in `data`, as plain UTF-8. */
export const ReplyCode = { ok: 0, badRequest: 400, serviceFailure: 500 } as const
/** Whether more replies follow. Golem wire: a stream is PARTIAL items and an empty FULL. */
export const ReplyType = { full: 0, partial: 1 } as const
/** Codes of the router's other replies. */
export const RouterCode = { ok: 0, badRequest: 400, notFound: 404, conflict: 409 } as const

/** GSB's packets. Between nodes only `call-request`, `call-reply` and `broadcast-request` are used. */
export type Packet =
  | { kind: 'hello'; name: string; version: string; instanceId: Uint8Array }
  | { kind: 'register-request'; serviceId: string }
  | { kind: 'register-reply'; code: number; message: string }
  | { kind: 'unregister-request'; serviceId: string }
  | { kind: 'unregister-reply'; code: number }
  | CallRequestPacket
  | CallReplyPacket
  | { kind: 'subscribe-request'; topic: string }
  | { kind: 'subscribe-reply'; code: number; message: string }
  | { kind: 'unsubscribe-request'; topic: string }
  | { kind: 'unsubscribe-reply'; code: number }
  | BroadcastRequestPacket
  | { kind: 'broadcast-reply'; code: number; message: string }
  | { kind: 'ping' }
  | { kind: 'pong' }
  /** Emet's own, only sent to a side that has said so in its hello: the caller has given up. */
  | { kind: 'cancel'; requestId: string }
  /** Emet's own, likewise: the caller of a stream has used `count` replies and takes as many more. */
  | { kind: 'credit'; requestId: string; count: number }

export type CallRequestPacket = {
  kind: 'call-request'
  caller: string
  address: string
  requestId: string
  data: Uint8Array
  noReply: boolean
}
export type CallReplyPacket = { kind: 'call-reply'; requestId: string; code: number; type: number; data: Uint8Array }
export type BroadcastRequestPacket = { kind: 'broadcast-request'; caller: string; data: Uint8Array; topic: string }

/** Field number within `Packet`, and the message's fields. Golem wire: `GSB_API` (proto3). */
const MESSAGES: { readonly [K in Packet['kind']]: readonly [number: number, fields: Fields] } = {
  hello: [1, { name: [1, 'string'], version: [2, 'string'], instanceId: [3, 'bytes'] }],
  'register-request': [2, { serviceId: [1, 'string'] }],
  'register-reply': [3, { code: [1, 'uint'], message: [2, 'string'] }],
  'unregister-request': [4, { serviceId: [1, 'string'] }],
  'unregister-reply': [5, { code: [1, 'uint'] }],
  'call-request': [
    6,
    {
      caller: [1, 'string'],
      address: [2, 'string'],
      requestId: [3, 'string'],
      data: [4, 'bytes'],
      noReply: [5, 'bool'],
    },
  ],
  'call-reply': [7, { requestId: [1, 'string'], code: [2, 'uint'], type: [3, 'uint'], data: [4, 'bytes'] }],
  'subscribe-request': [8, { topic: [1, 'string'] }],
  'subscribe-reply': [9, { code: [1, 'uint'], message: [2, 'string'] }],
  'unsubscribe-request': [10, { topic: [1, 'string'] }],
  'unsubscribe-reply': [11, { code: [1, 'uint'] }],
  'broadcast-request': [12, { caller: [1, 'string'], data: [2, 'bytes'], topic: [3, 'string'] }],
  'broadcast-reply': [13, { code: [1, 'uint'], message: [2, 'string'] }],
  ping: [14, {}],
  pong: [15, {}],
  cancel: [100, { requestId: [1, 'string'] }],
  credit: [101, { requestId: [1, 'string'], count: [2, 'uint'] }],
}
const BY_NUMBER = new Map(
  (Object.keys(MESSAGES) as Packet['kind'][]).map((kind) => [MESSAGES[kind][0], { kind, fields: MESSAGES[kind][1] }]),
)

/** The packet as pieces, without the length in front: large data is not copied. */
export function encodePacketPieces(packet: Packet): Uint8Array[] {
  const [number, fields] = MESSAGES[packet.kind]
  return encodeNested(number, encodeFields(fields, packet))
}

/** The packet's bytes, without the length in front. */
export function encodePacket(packet: Packet): Uint8Array {
  return joinPieces(encodePacketPieces(packet))
}

/** Reads one packet. Throws `BusError` `bad-request` when it is none, and `too-large` beyond `PACKET_BYTES_MAX`. */
export function decodePacket(bytes: Uint8Array): Packet {
  if (bytes.length > PACKET_BYTES_MAX) throw packetTooLarge(bytes.length)
  let found: Packet | undefined
  for (const { number, value } of readFields(bytes)) {
    const message = BY_NUMBER.get(number)
    if (message && typeof value !== 'number') {
      // The table gives each field of this kind the type that the union declares.
      found = { kind: message.kind, ...decodeFields(message.fields, value) } as unknown as Packet
    }
  }
  if (!found) throw new BusError('bad-request', 'the packet holds no message that GSB knows')
  return found
}

/** The refusal of a packet by its size. */
export function packetTooLarge(sizeBytes: number): BusError {
  const message = `a packet of ${sizeBytes} bytes is over the limit of ${PACKET_BYTES_MAX}; send it in parts`
  return new BusError('too-large', message, { sizeBytes, max: PACKET_BYTES_MAX })
}

/** One array of all the pieces. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    out.set(piece, at)
    at += piece.length
  }
  return out
}
