import { NetError } from '../errors.ts'
import type { ByteStream } from '../types.ts'

/** Frames are written together up to this size: one write costs more than its bytes. */
const BATCH_BYTES = 64 * 1024

/** Frames that nobody waits for (pongs, credits, cancels, casts). A peer that asks but does not read is cut off. */
export const CONTROL_QUEUE_LENGTH_MAX = 4096

/** The way out of a session: small control frames first, then packets in turn, with back-pressure. */
export interface Outbox {
  /** Resolves when the frame has been handed to the stream and there is room for more. */
  send(frame: Uint8Array): Promise<void>
  /** Queues a small frame; fails the session when too many wait. */
  control(frame: Uint8Array): void
  /** Queues a frame unless the way is congested. */
  offer(frame: Uint8Array): boolean
  close(reason: Error): void
}

type Waiting = { frame: Uint8Array; resolve: () => void; reject: (reason: Error) => void }

export function createOutbox(stream: ByteStream, onFailure: (reason: Error) => void): Outbox {
  const control: Uint8Array[] = []
  let packets: Waiting[] = []
  let closed: Error | undefined
  let pumping = false

  const takeBatch = (): { bytes: Uint8Array[]; done: Waiting[] } => {
    const bytes = control.splice(0)
    const done: Waiting[] = []
    let size = bytes.reduce((sum, frame) => sum + frame.length, 0)
    for (const waiting of packets) {
      if (size >= BATCH_BYTES) break
      size += waiting.frame.length
      bytes.push(waiting.frame)
      done.push(waiting)
    }
    packets = packets.slice(done.length)
    return { bytes, done }
  }
  const pump = async () => {
    while (!closed && control.length + packets.length > 0) {
      const batch = takeBatch()
      try {
        await stream.write(join(batch.bytes))
        for (const waiting of batch.done) waiting.resolve()
      } catch (error) {
        const reason = error instanceof Error ? error : new Error(String(error))
        for (const waiting of batch.done) waiting.reject(reason)
        onFailure(reason)
      }
    }
    pumping = false
  }
  const wake = () => {
    if (pumping) return
    pumping = true
    queueMicrotask(() => void pump())
  }
  return {
    send: (frame) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(closed)
        packets.push({ frame, resolve, reject })
        wake()
      }),
    control: (frame) => {
      if (closed) return
      if (control.length >= CONTROL_QUEUE_LENGTH_MAX) return onFailure(congested())
      control.push(frame)
      wake()
    },
    offer: (frame) => {
      if (closed || control.length >= CONTROL_QUEUE_LENGTH_MAX / 2) return false
      control.push(frame)
      wake()
      return true
    },
    close: (reason) => {
      closed ??= reason
      for (const waiting of packets.splice(0)) waiting.reject(closed)
      control.length = 0
    },
  }
}

function congested(): NetError {
  return new NetError('protocol', `the peer does not read: ${CONTROL_QUEUE_LENGTH_MAX} control frames wait for it`)
}

function join(parts: Uint8Array[]): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only) return only
  return Buffer.concat(parts)
}
