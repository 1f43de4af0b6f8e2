import { ApiError } from '@emet/api'
import type { Clock } from '@emet/core'

/** A feed that is read by long polls; each event is delivered once. */
export type Poll<E> = { push(event: E): void; poll(timeoutSeconds: number, signal?: AbortSignal): Promise<E[]> }

export function createPoll<E>(clock: Clock): Poll<E> {
  let events: E[] = []
  let wake = Promise.withResolvers<void>()
  return {
    push: (event) => {
      events.push(event)
      wake.resolve()
      wake = Promise.withResolvers()
    },
    poll: async (timeoutSeconds, signal) => {
      if (events.length === 0) {
        const stop = new AbortController()
        const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
        await Promise.race([wake.promise, clock.sleep(timeoutSeconds * 1000, both)]).finally(() => stop.abort())
      }
      signal?.throwIfAborted()
      const taken = events
      events = []
      return taken
    },
  }
}

/** A failure answered by the daemon. */
export const refusal = (status: number, message: string) =>
  new ApiError('status', `failed with ${status}: ${message}`, { call: 'fake', status, body: { message } })

/** Never resolves; rejects when the signal aborts. */
export const never = (signal?: AbortSignal) =>
  new Promise<never>((_, reject) => {
    if (signal?.aborted) reject(signal.reason)
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
