import { joinPieces, PACKET_BYTES_MAX, packetTooLarge } from './packet.ts'

/** Golem wire: `u32be length || packet`. */
const PREFIX_BYTES = 4

/** The length in front, as a piece of its own. */
export function framePrefix(length: number): Uint8Array {
  if (length > PACKET_BYTES_MAX) throw packetTooLarge(length)
  const prefix = new Uint8Array(PREFIX_BYTES)
  new DataView(prefix.buffer).setUint32(0, length)
  return prefix
}

/** A packet with its length in front. */
export function encodeFrame(packet: Uint8Array): Uint8Array {
  return joinPieces([framePrefix(packet.length), packet])
}

/** Cuts a stream of bytes into packets. */
export type FrameReader = {
  /** Takes the next bytes and returns the packets they complete. Throws `BusError` `too-large`; the stream is lost then. */
  push(bytes: Uint8Array): Uint8Array[]
  /** Bytes of an unfinished packet held back. */
  readonly pendingBytes: number
}

/** Holds at most one unfinished packet, and room only for bytes that have come. */
export function createFrameReader(packetBytesMax = PACKET_BYTES_MAX): FrameReader {
  let pieces: Uint8Array[] = []
  let held = 0
  /** The size of the next packet with its prefix, once known. */
  const wanted = (): number => {
    if (held < PREFIX_BYTES) return PREFIX_BYTES
    let first = pieces[0] ?? new Uint8Array()
    if (first.length < PREFIX_BYTES) {
      first = joinPieces(pieces)
      pieces = [first]
    }
    const length = new DataView(first.buffer, first.byteOffset).getUint32(0)
    if (length > packetBytesMax) throw packetTooLarge(length)
    return PREFIX_BYTES + length
  }
  return {
    push: (bytes) => {
      if (bytes.length > 0) pieces.push(bytes)
      held += bytes.length
      const packets: Uint8Array[] = []
      for (let size = wanted(); held >= size && held >= PREFIX_BYTES; size = wanted()) {
        const all = pieces.length === 1 && pieces[0] ? pieces[0] : joinPieces(pieces)
        packets.push(all.subarray(PREFIX_BYTES, size))
        pieces = all.length > size ? [all.subarray(size)] : []
        held -= size
      }
      return packets
    },
    get pendingBytes() {
      return held
    },
  }
}
