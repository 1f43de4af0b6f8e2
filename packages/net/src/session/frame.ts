/**
 * Frames of the kept stream:
 *
 *     u32be length of what follows | u8 kind, top bit: more fragments follow | u32be call id | payload
 *
 * Call ids are chosen by the caller, so each direction has its own; 0 where a frame is about no call.
 */
import { NetError } from '../errors.ts'

/** The longest payload of one frame. Longer packets travel as fragments, so that none holds up the others. */
export const FRAME_PAYLOAD_BYTES_MAX = 64 * 1024

/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 9

const MORE = 0x80

/** The kinds of frames by their number on the wire. */
export const FRAME = {
  /** Who I am and a nonce, JSON: the first frame of either side. */
  hello: 1,
  /** Signatures that prove further identities, JSON. May come again when identities are unlocked later. */
  proof: 2,
  /** A packet that wants replies. */
  call: 3,
  /** One reply packet. */
  reply: 4,
  /** No more replies. */
  end: 5,
  /** The call could not be served, JSON. */
  fail: 6,
  /** The caller has lost interest. */
  cancel: 7,
  /** The caller has taken so many reply bytes: u32be. */
  credit: 8,
  ping: 9,
  pong: 10,
  /** u8 length of topic, topic, packet. */
  cast: 11,
  /** The sender begins no more calls on this session, since another one is better. */
  retire: 12,
} as const

export type FrameKind = (typeof FRAME)[keyof typeof FRAME]

export type Frame = {
  readonly kind: number
  readonly more: boolean
  readonly id: number
  readonly payload: Uint8Array
}

const NOTHING = new Uint8Array(0)

export function encodeFrame(kind: FrameKind, id: number, payload: Uint8Array = NOTHING, more = false): Uint8Array {
  const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, 5 + payload.length)
  out[4] = more ? kind | MORE : kind
  view.setUint32(5, id)
  out.set(payload, FRAME_HEADER_BYTES)
  return out
}

/** Cuts a byte stream into frames. Holds at most one frame and one chunk. */
export function createFrameReader(): { push(chunk: Uint8Array): Iterable<Frame> } {
  let buffer = new Uint8Array(4 * 1024)
  let start = 0
  let end = 0

  const makeRoom = (bytes: number) => {
    if (end + bytes <= buffer.length) return
    const held = end - start
    const target = held + bytes > buffer.length ? new Uint8Array(Math.max(buffer.length * 2, held + bytes)) : buffer
    target.set(buffer.subarray(start, end))
    buffer = target
    start = 0
    end = held
  }
  const next = (): Frame | undefined => {
    if (end - start < FRAME_HEADER_BYTES) return undefined
    const view = new DataView(buffer.buffer, start)
    const length = view.getUint32(0)
    checkLength(length)
    if (end - start < 4 + length) return undefined
    const kind = view.getUint8(4)
    const payload = buffer.slice(start + FRAME_HEADER_BYTES, start + 4 + length)
    start += 4 + length
    return { kind: kind & ~MORE, more: (kind & MORE) !== 0, id: view.getUint32(5), payload }
  }
  return {
    *push(chunk) {
      makeRoom(chunk.length)
      buffer.set(chunk, end)
      end += chunk.length
      for (let frame = next(); frame; frame = next()) yield frame
    },
  }
}

function checkLength(length: number): void {
  if (length >= 5 && length <= 5 + FRAME_PAYLOAD_BYTES_MAX) return
  throw new NetError('protocol', `a frame of ${length} bytes came; 5 to ${5 + FRAME_PAYLOAD_BYTES_MAX} are allowed`, {
    length,
  })
}
