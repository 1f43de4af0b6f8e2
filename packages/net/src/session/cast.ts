import type { Clock } from '@emet/core'
import { NetError } from '../errors.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from './frame.ts'

/** The largest cast, topic included: one frame. */
export const CAST_BYTES_MAX = FRAME_PAYLOAD_BYTES_MAX

/** Casts that one peer may send per second; more are dropped and counted. */
export const CASTS_PER_SECOND_MAX = 200

/** `u8 length of topic, topic, packet`. Fails with `too-large`. */
export function encodeCast(topic: string, packet: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(topic)
  const bytes = 1 + name.length + packet.length
  if (name.length > 255 || bytes > CAST_BYTES_MAX) {
    const text = `the cast to ${topic} has ${bytes} bytes, ${CAST_BYTES_MAX} are allowed, 255 of them for the topic`
    throw new NetError('too-large', text, { bytes, limit: CAST_BYTES_MAX })
  }
  return Buffer.concat([Uint8Array.of(name.length), name, packet])
}

export function decodeCast(payload: Uint8Array): { topic: string; packet: Uint8Array } {
  const topicEnd = 1 + (payload[0] ?? 0)
  if (topicEnd > payload.length) throw new NetError('protocol', 'the peer sent a cast without a topic')
  return { topic: new TextDecoder().decode(payload.subarray(1, topicEnd)), packet: payload.subarray(topicEnd) }
}

/** True as long as no more than `perSecond` were let through in this second. */
export function createRateLimit(clock: Clock, perSecond: number): () => boolean {
  let sinceMs = Number.NEGATIVE_INFINITY
  let left = 0
  return () => {
    const nowMs = clock.monotonicMs()
    if (nowMs - sinceMs >= 1000) {
      sinceMs = nowMs
      left = perSecond
    }
    if (left <= 0) return false
    left--
    return true
  }
}
