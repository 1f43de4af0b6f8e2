/**
 * The event feeds. Each event gets an instant of its own, later than all before it, so that a client's cursor can stand
 * between any two; waiting clients are woken as soon as a transaction with something new has been committed.
 */
import { type Clock, fromMs, type InstantUs } from '@emet/core'
import { PaymentError } from './errors.ts'
import { WAITERS_MAX } from './options.ts'
import type { DocumentEvent } from './records.ts'
import type { PaymentStore } from './store.ts'

export interface Feed {
  /** Now, but later than any instant given out before, also before a restart or a jump of the clock. */
  tick(): InstantUs
  /** Writes an event down, and wakes who waits once the running transaction is over. */
  append(event: Omit<DocumentEvent, 'atUs'>): void
  /** Wakes who waits, once the running transaction is over. */
  wake(): void
  /** Asks `query` now and at each change, until it has something or the time is up. */
  poll<T>(query: () => T[], options: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<T[]>
  /** Lets everybody who waits go with what there is. */
  close(): void
}

export function createFeed(store: PaymentStore, clock: Clock): Feed {
  let last = Math.max(store.events.lastUs(), store.payments.lastRecordedUs())
  const waiting = new Set<() => void>()
  let isWaking = false
  let isClosed = false

  const tick = () => {
    last = Math.max(last + 1, fromMs(clock.nowMs()))
    return last
  }
  const wakeAll = () => {
    isWaking = false
    for (const wakeUp of [...waiting]) wakeUp()
  }
  // Transactions are synchronous, so that a microtask runs after the commit.
  const wake = () => {
    if (isWaking) return
    isWaking = true
    queueMicrotask(wakeAll)
  }
  const change = (ms: number, signal: AbortSignal | undefined): Promise<void> => {
    if (waiting.size >= WAITERS_MAX) {
      throw new PaymentError('too-many-waiters', `${WAITERS_MAX} requests wait for events already; try again later`)
    }
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        waiting.delete(end)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const cancel = clock.setTimer(ms, end)
      waiting.add(end)
      signal?.addEventListener('abort', end, { once: true })
    })
  }
  return {
    tick,
    wake,
    append: (event) => {
      store.events.append({ ...event, atUs: tick() })
      wake()
    },
    poll: async (query, { timeoutMs, signal }) => {
      const endMs = clock.monotonicMs() + timeoutMs
      for (;;) {
        const found = query()
        const leftMs = endMs - clock.monotonicMs()
        if (found.length > 0 || leftMs <= 0 || signal?.aborted || isClosed) return found
        await change(leftMs, signal)
      }
    },
    close: () => {
      isClosed = true
      wakeAll()
    },
  }
}
