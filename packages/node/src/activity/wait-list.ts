import type { Clock } from '@emet/core'
import { ActivityError } from './errors.ts'
import { WAITERS_MAX } from './options.ts'
import type { WaitOptions } from './types.ts'

/** Waiters for something to become so. Whoever changes anything under a key calls `notify(key)`. */
export type WaitList = {
  /** What `probe` returns as soon as that is something; undefined when time is up. Throws the signal's reason. */
  wait<T>(key: string, probe: () => T | undefined, options: WaitOptions): Promise<T | undefined>
  notify(key: string): void
}

/** An empty list. */
export function createWaitList(clock: Clock): WaitList {
  const waiters = new Map<string, Set<() => void>>()
  let count = 0

  const next = (key: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const set = waiters.get(key) ?? new Set()
      waiters.set(key, set)
      count++
      const finish = () => {
        cancel()
        signal?.removeEventListener('abort', finish)
        if (set.delete(finish)) count--
        if (set.size === 0 && waiters.get(key) === set) waiters.delete(key)
        if (signal?.aborted) reject(signal.reason)
        else resolve()
      }
      const cancel = clock.setTimer(timeoutMs, finish)
      set.add(finish)
      signal?.addEventListener('abort', finish, { once: true })
    })
  return {
    wait: async (key, probe, { timeoutMs, signal }) => {
      const deadlineMs = clock.monotonicMs() + timeoutMs
      for (;;) {
        signal?.throwIfAborted()
        const found = probe()
        const leftMs = deadlineMs - clock.monotonicMs()
        if (found !== undefined || leftMs <= 0) return found
        if (count >= WAITERS_MAX) {
          throw new ActivityError('limit', `more than ${WAITERS_MAX} requests are waiting; poll with shorter timeouts`)
        }
        await next(key, leftMs, signal)
      }
    },
    notify: (key) => {
      for (const wake of [...(waiters.get(key) ?? [])]) wake()
    },
  }
}
