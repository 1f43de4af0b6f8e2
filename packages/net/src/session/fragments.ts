import { NetError } from '../errors.ts'
import { encodeFrame, FRAME_PAYLOAD_BYTES_MAX, type Frame, type FrameKind } from './frame.ts'
import type { Outbox } from './outbox.ts'

/** The largest packet, either way. */
export const PACKET_BYTES_MAX = 16 * 1024 * 1024

/** Bytes of unfinished packets that one peer may have under way to us. */
export const ASSEMBLY_BYTES_PER_PEER_MAX = 64 * 1024 * 1024

/** Sends a packet in fragments, which take turns with those of other packets. Checks the size before the first. */
export async function sendPacket(
  outbox: Outbox,
  kind: FrameKind,
  id: number,
  packet: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  checkPacketSize(packet)
  for (let at = 0; at === 0 || at < packet.length; at += FRAME_PAYLOAD_BYTES_MAX) {
    signal.throwIfAborted()
    const part = packet.subarray(at, at + FRAME_PAYLOAD_BYTES_MAX)
    await outbox.send(encodeFrame(kind, id, part, at + part.length < packet.length))
  }
}

export function checkPacketSize(packet: Uint8Array): void {
  if (packet.length <= PACKET_BYTES_MAX) return
  const text = `the packet has ${packet.length} bytes, ${PACKET_BYTES_MAX} are allowed; send large data over a bulk stream`
  throw new NetError('too-large', text, { bytes: packet.length, limit: PACKET_BYTES_MAX })
}

/** Puts fragments together again; `kind` and `id` tell packets apart. */
export interface Assembler {
  /** The whole packet when `frame` is its last fragment. Fails with `protocol` when a limit is broken. */
  add(frame: Frame): Uint8Array | undefined
  /** Forgets an unfinished packet. */
  drop(kind: number, id: number): void
}

export function createAssembler(unfinishedMax: number): Assembler {
  const unfinished = new Map<string, { parts: Uint8Array[]; bytes: number }>()
  let total = 0

  const drop = (key: string) => {
    total -= unfinished.get(key)?.bytes ?? 0
    unfinished.delete(key)
  }
  const open = (key: string) => {
    if (unfinished.size >= unfinishedMax) throw overLimit('unfinished packets', unfinishedMax)
    const entry = { parts: [], bytes: 0 }
    unfinished.set(key, entry)
    return entry
  }
  return {
    add: (frame) => {
      const key = `${frame.kind}:${frame.id}`
      const known = unfinished.get(key)
      if (!known && !frame.more) return frame.payload
      const entry = known ?? open(key)
      entry.parts.push(frame.payload)
      entry.bytes += frame.payload.length
      total += frame.payload.length
      if (entry.bytes > PACKET_BYTES_MAX) throw overLimit('bytes in one packet', PACKET_BYTES_MAX)
      if (total > ASSEMBLY_BYTES_PER_PEER_MAX)
        throw overLimit('bytes in unfinished packets', ASSEMBLY_BYTES_PER_PEER_MAX)
      if (frame.more) return undefined
      drop(key)
      return Buffer.concat(entry.parts)
    },
    drop: (kind, id) => drop(`${kind}:${id}`),
  }
}

function overLimit(what: string, limit: number): NetError {
  return new NetError('protocol', `the peer sent too many ${what}: ${limit} are allowed`, { limit })
}
