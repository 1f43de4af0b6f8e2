/**
 * The service bus: messages with an address, a caller, a body, and one reply, a stream of replies, or none. `types.ts`
 * is the page to read first.
 *
 *     const bus = createBus({ clock, logger })
 *     bus.bind('/public/greeter/Hello', async ({ body }) => `hello ${body.value()}`)
 *     await bus.call('/public/greeter/Hello', 'world')      // 'hello world'
 *
 * What crosses a process or a node is FlexBuffers in GSB packets (`gsb/`); `@emet/bus/socket` attaches processes.
 */
export { Body } from './body.ts'
export { type BusDeps, type BusOptions, CALL_TIMEOUT_MS, createBus } from './bus.ts'
export { BusError, type BusErrorCode, ReplyError } from './errors.ts'
export { decodeFlexbuffers, encodeFlexbuffers, Float } from './flexbuffers/index.ts'
export {
  broadcastBody,
  type CallReply,
  type CallRequestFields,
  encodeBroadcastRequest,
  encodeCallReply,
  encodeCallRequest,
  fromReplyPacket,
  packBody,
  unpackBody,
} from './gsb/calls.ts'
export { createFrameReader, encodeFrame, type FrameReader } from './gsb/framing.ts'
export {
  type BroadcastRequestPacket,
  type CallReplyPacket,
  type CallRequestPacket,
  decodePacket,
  encodePacket,
  PACKET_BYTES_MAX,
  type Packet,
} from './gsb/packet.ts'
export { fromCallReplies, toBusError, toCallReplies } from './gsb/replies.ts'
export { errBody, forwarderOf, okBody, unwrapResult } from './result.ts'
export type { Bus, BusCall, Caller, CallOptions, Forwarder, Handler, ReplyMode } from './types.ts'
