import { OUTPUT_CHUNKS_MAX } from './limits.ts'

export type OutputName = 'stdout' | 'stderr'

/** The output of one program as it comes, for any number of readers, each from the beginning. */
export interface OutputLog {
  push(name: OutputName, data: string | Uint8Array): void
  /** No more output. With an error, readers get it after the last chunk. */
  end(error?: unknown): void
  read(name: OutputName): AsyncGenerator<Uint8Array, void, undefined>
  /** The text so far. */
  text(name: OutputName): string
  /**
   * Sees to it that the log holds all of `kept`, of which the live stream may have missed the end. Returns all there is:
   * providers keep only so much, and the stream may have brought more.
   */
  complete(name: OutputName, kept: Uint8Array): Uint8Array
}

const encoder = new TextEncoder()

export function createOutputLog(): OutputLog {
  const chunks: Record<OutputName, Uint8Array[]> = { stdout: [], stderr: [] }
  const dropped: Record<OutputName, number> = { stdout: 0, stderr: 0 }
  let ended: { error: unknown } | undefined
  let next = Promise.withResolvers<void>()
  const wake = () => {
    next.resolve()
    next = Promise.withResolvers()
  }
  const push = (name: OutputName, data: string | Uint8Array) => {
    const bytes = toBytes(data)
    if (bytes.length === 0 || ended) return
    chunks[name].push(bytes)
    if (chunks[name].length > OUTPUT_CHUNKS_MAX) {
      chunks[name].shift()
      dropped[name]++
    }
    wake()
  }
  const sizeOf = (name: OutputName) => chunks[name].reduce((sum, chunk) => sum + chunk.length, 0)
  return {
    push,
    end: (error) => {
      ended ??= { error }
      wake()
    },
    text: (name) => new TextDecoder().decode(joinBytes(chunks[name])),
    complete: (name, kept) => {
      if (dropped[name] > 0) return kept
      const size = sizeOf(name)
      if (size > kept.length) return joinBytes(chunks[name])
      push(name, kept.subarray(size))
      return kept
    },
    read: async function* (name) {
      for (let at = 0; ; ) {
        at = Math.max(at, dropped[name])
        const chunk = chunks[name][at - dropped[name]]
        if (chunk) {
          at++
          yield chunk
        } else if (ended) {
          if (ended.error !== undefined) throw ended.error
          return
        } else await next.promise
      }
    },
  }
}

/** Output as bytes, whichever form it came in. */
export function toBytes(data: string | Uint8Array | null): Uint8Array {
  if (data === null) return new Uint8Array()
  return typeof data === 'string' ? encoder.encode(data) : data
}

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Cuts bytes into lines, without their ends. A last line without an end counts. */
export async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
}

/** The bytes as a web stream. (`ReadableStream.from` is not in all browsers yet.) */
export function toStream(bytes: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      const step = await bytes.next()
      if (step.done) controller.close()
      else controller.enqueue(step.value)
    },
    cancel: async () => void (await bytes.return()),
  })
}
