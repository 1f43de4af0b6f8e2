/**
 * The events of one batch, kept from its start, so that a subscriber who comes late or again misses nothing. (In the
 * existing exe-unit events before the subscription are lost, and the stream never ends; here it ends after the last.)
 *
 * Memory is bounded: over `EVENTS_BYTES_MAX` the writer waits for subscribers that are reading, for at most
 * `SUBSCRIBER_STALL_MS_MAX` while none of them moves; then the oldest output is forgotten. A subscriber who has missed
 * something is told by a `progress` event with a message.
 */
import type { Clock } from '@emet/core'

/** Kept events of one batch, in bytes of output plus a flat cost for each event. */
export const EVENTS_BYTES_MAX = 4 * 1024 * 1024
/** What one event costs beside its output. */
const EVENT_COST_BYTES = 256
/** How long the program waits for subscribers that do not read. */
export const SUBSCRIBER_STALL_MS_MAX = 5_000
/** How long the writer waits for the first subscriber, once: a program may print faster than one can subscribe. */
export const SUBSCRIBER_ARRIVAL_MS_MAX = 2_000
/** Subscribers of one batch at one time. */
export const SUBSCRIBERS_MAX = 64

/** Golem wire: `kind` of a runtime event; names of variants are lower-case, fields snake_case. */
export type EventKind =
  | { readonly started: { readonly command: unknown } }
  | { readonly finished: { readonly return_code: number; readonly message: string | null } }
  | { readonly stdout: string | number[] }
  | { readonly stderr: string | number[] }
  | { readonly progress: ProgressEvent }

export type ProgressEvent = {
  readonly step: readonly [number, number]
  readonly message: string | null
  readonly progress: readonly [number, number | null]
  readonly unit: string | null
}

export type RuntimeEvent = {
  readonly batch_id: string
  readonly index: number
  /** Without a zone. */
  readonly timestamp: string
  readonly kind: EventKind
}

export interface EventLog {
  /** Resolves when there is room for more. */
  append(event: RuntimeEvent): Promise<void>
  /** No more events: subscribers end after the last one. */
  close(): void
  /** Everything from the start, then what comes, until `close`. */
  subscribe(signal: AbortSignal): AsyncIterable<RuntimeEvent>
  readonly subscribers: number
}

type Item = { readonly event: RuntimeEvent; readonly bytes: number }

export function createEventLog(clock: Clock): EventLog {
  const items: Item[] = []
  /** Sequence number of `items[0]`. */
  let first = 0
  let bytes = 0
  let isClosed = false
  let isAwaited = true
  const readers = new Set<{ at: number }>()
  const wakers = new Set<() => void>()

  const wake = () => {
    for (const waker of [...wakers]) waker()
  }
  /** Resolves at the next change, or after `ms`. */
  const change = (signal?: AbortSignal, ms?: number) =>
    new Promise<void>((resolve) => {
      const done = () => {
        wakers.delete(done)
        signal?.removeEventListener('abort', done)
        cancelTimer?.()
        resolve()
      }
      const cancelTimer = ms === undefined ? undefined : clock.setTimer(ms, done)
      wakers.add(done)
      signal?.addEventListener('abort', done, { once: true })
      if (signal?.aborted) done()
    })
  const slowest = () => Math.min(...[...readers].map((reader) => reader.at))
  const forget = () => {
    while (bytes > EVENTS_BYTES_MAX) {
      const item = items.shift()
      if (!item) return
      first++
      bytes -= item.bytes
    }
  }
  const append = async (event: RuntimeEvent) => {
    const item = { event, bytes: EVENT_COST_BYTES + sizeOf(event.kind) }
    items.push(item)
    bytes += item.bytes
    wake()
    if (bytes > EVENTS_BYTES_MAX && isAwaited && readers.size === 0) {
      const dueMs = clock.monotonicMs() + SUBSCRIBER_ARRIVAL_MS_MAX
      while (isAwaited && clock.monotonicMs() < dueMs) await change(undefined, Math.max(dueMs - clock.monotonicMs(), 1))
      isAwaited = false
    }
    // The oldest event may go only when the slowest reader has it, or when it has stopped reading.
    while (bytes > EVENTS_BYTES_MAX && readers.size > 0 && slowest() <= first) {
      const before = slowest()
      const dueMs = clock.monotonicMs() + SUBSCRIBER_STALL_MS_MAX
      while (readers.size > 0 && slowest() === before && clock.monotonicMs() < dueMs) {
        await change(undefined, Math.max(dueMs - clock.monotonicMs(), 1))
      }
      if (readers.size > 0 && slowest() === before) break
    }
    forget()
  }
  async function* subscribe(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    const reader = { at: 0 }
    readers.add(reader)
    isAwaited = false
    wake()
    try {
      while (!signal.aborted) {
        if (reader.at < first) {
          const next = items[0]?.event
          if (next) yield missed(next, first - reader.at)
          reader.at = first
        }
        const item = items[reader.at - first]
        if (item) {
          yield item.event
          reader.at++
          wake()
        } else if (isClosed) return
        else await change(signal)
      }
    } finally {
      readers.delete(reader)
      wake()
    }
  }
  return {
    append,
    close: () => {
      isClosed = true
      wake()
    },
    subscribe,
    get subscribers() {
      return readers.size
    },
  }
}

function missed(next: RuntimeEvent, count: number): RuntimeEvent {
  const message = `${count} events were dropped: they came faster than they were read`
  return { ...next, kind: { progress: { step: [0, 1], message, progress: [0, null], unit: null } } }
}

function sizeOf(kind: EventKind): number {
  if ('stdout' in kind) return kind.stdout.length
  if ('stderr' in kind) return kind.stderr.length
  return 0
}
