/** Reading `text/event-stream`. */
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { z } from 'zod'
import { decodeReply } from './reply.ts'
import type { StreamedEvent } from './types.ts'

/** Longest event taken, in characters. */
export const EVENT_LENGTH_MAX = 64 * 1024 * 1024

/** Yields each event of a response as it comes. Ends when the server closes. */
export async function* readEvents(
  response: Response,
  schema: z.ZodType,
  call: string,
): AsyncGenerator<StreamedEvent<unknown>, void, undefined> {
  const reader = (response.body ?? new Blob([]).stream()).getReader()
  const decoder = new TextDecoder()
  const pending: EventSourceMessage[] = []
  const parser = createParser({ maxBufferSize: EVENT_LENGTH_MAX, onEvent: (event) => void pending.push(event) })
  try {
    for (;;) {
      const chunk = await reader.read()
      if (chunk.done) return
      parser.feed(decoder.decode(chunk.value, { stream: true }))
      for (const { event, id, data } of pending.splice(0))
        yield { event, id, data: decodeReply(schema, data, call, response.status) }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
