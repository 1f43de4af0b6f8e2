/** Bulk streams: `u16be length of purpose, purpose`, then the bytes of whoever asked for the stream. */
import { NetError } from '../errors.ts'
import type { ByteStream } from '../types.ts'

/** Bulk streams that one peer may have open to us. More are cut off. */
export const BULK_STREAMS_PER_PEER_MAX = 64

/** UTF-8 bytes of a bulk stream's purpose. */
export const PURPOSE_BYTES_MAX = 1024

export async function writePurpose(stream: ByteStream, purpose: string): Promise<void> {
  const text = new TextEncoder().encode(purpose)
  if (text.length > PURPOSE_BYTES_MAX) {
    const message = `the purpose of a bulk stream has ${text.length} bytes, ${PURPOSE_BYTES_MAX} are allowed`
    throw new NetError('too-large', message, { bytes: text.length, limit: PURPOSE_BYTES_MAX })
  }
  await stream.write(Buffer.concat([Uint8Array.of(text.length >> 8, text.length & 0xff), text]))
}

/** Reads the purpose; the rest of the stream is in the returned one. */
export async function readPurpose(stream: ByteStream): Promise<{ purpose: string; stream: ByteStream }> {
  const chunks = stream.source[Symbol.asyncIterator]()
  let held: Uint8Array = new Uint8Array(0)
  for (;;) {
    const need = held.length < 2 ? 2 : 2 + (((held[0] ?? 0) << 8) | (held[1] ?? 0))
    if (need > 2 + PURPOSE_BYTES_MAX) throw new NetError('protocol', `a purpose of ${need - 2} bytes came`)
    if (held.length >= Math.max(need, 3) || (need === 2 && held.length === 2)) {
      const purpose = new TextDecoder().decode(held.subarray(2, need))
      return { purpose, stream: withSource(stream, rest(held.subarray(need), chunks)) }
    }
    const next = await chunks.next()
    if (next.done) throw new NetError('protocol', 'a bulk stream ended before its purpose')
    held = held.length === 0 ? next.value : Buffer.concat([held, next.value])
  }
}

async function* rest(first: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) yield first
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
  } finally {
    await chunks.return?.()
  }
}

function withSource(stream: ByteStream, source: AsyncIterable<Uint8Array>): ByteStream {
  return {
    source,
    write: (bytes) => stream.write(bytes),
    finish: () => stream.finish(),
    abort: (reason) => stream.abort(reason),
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  }
}

/** `stream`, with `onEnd` called once when it is over: aborted, disposed, or finished and read to the end. */
export function watchEnd(stream: ByteStream, onEnd: () => void): ByteStream {
  let finished = false
  let drained = false
  let over = false
  const end = () => {
    if (over) return
    over = true
    onEnd()
  }
  const halfEnd = () => finished && drained && end()
  async function* source() {
    try {
      yield* stream.source
      drained = true
      halfEnd()
    } catch (error) {
      end()
      throw error
    }
  }
  return {
    source: source(),
    write: (bytes) => stream.write(bytes),
    finish: async () => {
      await stream.finish()
      finished = true
      halfEnd()
    },
    abort: (reason) => {
      stream.abort(reason)
      end()
    },
    [Symbol.asyncDispose]: async () => {
      await stream[Symbol.asyncDispose]()
      end()
    },
  }
}
