import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { ByteStream } from '../types.ts'
import { STREAM_WINDOW_BYTES_MAX } from './options.ts'

/** Unread bytes at which the far end is asked to pause; what its window still allows may come after that. */
const READ_PAUSE_BYTES = 1024 * 1024
/** Yamux grants 256 KiB at first and more only after a ping has shown the round trip; we grant this much from the start. */
const READ_WINDOW_BYTES = STREAM_WINDOW_BYTES_MAX
/** The largest piece that is handed on. */
const PIECE_BYTES_MAX = 256 * 1024

/** A libp2p stream as ours. Its own async iterator and `onDrain` have no back-pressure, so events are used. */
export function toByteStream(stream: Stream): ByteStream {
  widenWindow(stream)
  const reading = createReading(stream)
  let finished = false
  return {
    source: reading.source,
    write: async (bytes) => {
      if (!stream.send(bytes)) await drained(stream)
    },
    finish: async () => {
      finished = true
      await stream.close()
    },
    abort: (reason) => {
      reading.fail(reason)
      stream.abort(reason)
    },
    [Symbol.asyncDispose]: async () => {
      if (!finished || stream.readStatus !== 'closed') stream.abort(new Error('the stream was dropped'))
    },
  }
}

/** Has effect with the next bytes that come. A stream of another muxer is left as it is. */
function widenWindow(stream: Stream & { recvWindow?: unknown }): void {
  if (typeof stream.recvWindow === 'number') stream.recvWindow = Math.max(stream.recvWindow, READ_WINDOW_BYTES)
}

function createReading(stream: Stream): { source: AsyncIterable<Uint8Array>; fail(reason: Error): void } {
  let chunks: Uint8Array[] = []
  let held = 0
  let ended = false
  let isResuming = false
  let failure: Error | undefined
  let wake = () => {}

  const settle = (reason?: Error) => {
    ended = true
    failure ??= reason
    wake()
  }
  const pauseIfFull = () => {
    if (held >= READ_PAUSE_BYTES && stream.readStatus === 'readable') stream.pause()
  }
  /** Hands on what has come during the pause. A pause in the midst of `resume` would be forgotten by the muxer. */
  const resume = () => {
    isResuming = true
    stream.resume()
    isResuming = false
    pauseIfFull()
  }
  stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
    for (let at = 0; at < data.byteLength; at += PIECE_BYTES_MAX) {
      chunks.push(data.subarray(at, Math.min(at + PIECE_BYTES_MAX, data.byteLength)))
    }
    held += data.byteLength
    if (!isResuming) pauseIfFull()
    wake()
  })
  stream.addEventListener('end', () => settle())
  stream.addEventListener('close', (event: StreamCloseEvent) => {
    const cause = event.error
    settle(cause && new Error(`the stream was cut: ${cause.message}`, { cause }))
  })
  async function* source(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const batch = chunks
      chunks = []
      for (const chunk of batch) {
        yield chunk
        held -= chunk.length
      }
      if (chunks.length > 0) continue
      if (stream.readStatus === 'paused') resume()
      if (chunks.length > 0) continue
      if (failure) throw failure
      if (ended) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    source: source(),
    fail: (reason) => {
      chunks = []
      settle(reason)
    },
  }
}

/** Resolves when the stream takes more; rejects when it closes first. */
async function drained(stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain) {
    if (stream.writeStatus === 'closed') throw new Error('the stream was closed while writing')
    await new Promise<void>((resolve) => {
      const done = () => {
        stream.removeEventListener('drain', done)
        stream.removeEventListener('close', done)
        resolve()
      }
      stream.addEventListener('drain', done)
      stream.addEventListener('close', done)
    })
  }
}
