/** Writes `text/event-stream`. Golem wire: spec/rest-api.md §2.4. */
import type { ServerResponse } from 'node:http'
import type { EventStream, ServerEvent } from '@emet/api'
import type { Clock } from '@emet/core'
import { z } from 'zod'
import { EVENT_STREAM_PING_MS } from './options.ts'

const PING = ':ping\n\n'

/**
 * Sends the stream's events until the client goes. Pings a quiet stream, and a finished one at once and from then on.
 * A failure of the events breaks the connection, which is how a client tells it from an end, and is thrown.
 */
export async function writeEventStream(
  stream: EventStream,
  schema: z.ZodType,
  response: ServerResponse,
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  const cancelPings = repeat(clock, EVENT_STREAM_PING_MS, () => void response.write(PING))
  const iterator = stream.events[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await untilAborted(iterator.next(), signal)
      if (next.done) break
      if (!response.write(frameOf(next.value, schema))) await drained(response, signal)
    }
    if (stream.whenDone === 'keep-open') {
      response.write(PING)
      await untilAborted(new Promise<never>(() => {}), signal)
    }
    response.end()
  } catch (error) {
    if (signal.aborted) return void response.destroy()
    // Sends what was written before, and then ends without the mark of a whole answer.
    response.socket?.end()
    throw error
  } finally {
    cancelPings()
    // A generator that is waiting returns once its wait is over; the signal ends that.
    void Promise.resolve(iterator.return?.()).catch(() => {})
  }
}

/** One event as text. JSON holds no line breaks, so one data line is enough. */
export function frameOf({ event, data, id }: ServerEvent, schema: z.ZodType): string {
  const lines = [
    ...(event === undefined ? [] : [`event: ${event}`]),
    `data: ${JSON.stringify(z.encode(schema, data as never))}`,
    ...(id === undefined ? [] : [`id: ${id}`]),
  ]
  return `${lines.join('\n')}\n\n`
}

function repeat(clock: Clock, everyMs: number, task: () => void): () => void {
  let cancel = clock.setTimer(everyMs, tick)
  function tick() {
    task()
    cancel = clock.setTimer(everyMs, tick)
  }
  return () => cancel()
}

/** Resolves when the client has taken what was written. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const wait = new Promise<void>((resolve) => response.once('drain', resolve))
  return untilAborted(wait, signal)
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
