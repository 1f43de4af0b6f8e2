import type { AbortOptions, Clock } from '@emet/core'
import { MarketError } from './errors.ts'
import { POLL_TIMEOUT_MS_MAX, WAITERS_MAX } from './limits.ts'

/** Lets long polls sleep until somebody calls `wake` with their key. */
export interface Wakeups {
  /**
   * Calls `check` now and after each wake-up of `key` until it returns something; undefined after `timeoutMs`.
   * What `check` throws ends the wait. Aborting rejects at once with the signal's reason and leaves nothing behind.
   */
  until<T>(
    key: string,
    options: AbortOptions & { timeoutMs: number },
    check: () => T | undefined,
  ): Promise<T | undefined>
  wake(key: string): void
  /** Ends all waits with `MarketError` `stopped`. */
  stop(): void
  readonly waiting: number
}

export function createWakeups(clock: Clock): Wakeups {
  const waiters = new Map<string, Set<() => void>>()
  const stopping = new AbortController()
  let waiting = 0

  /** Resolves at the next wake-up or after `ms`; registered before it returns. */
  const nap = (key: string, ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const set = waiters.get(key) ?? new Set()
      waiters.set(key, set)
      const end = (finish: () => void) => () => {
        cancelTimer()
        signal.removeEventListener('abort', onAbort)
        set.delete(onWake)
        if (set.size === 0 && waiters.get(key) === set) waiters.delete(key)
        finish()
      }
      const onWake = end(resolve)
      const onAbort = end(() => reject(signal.reason))
      const cancelTimer = clock.setTimer(ms, onWake)
      signal.addEventListener('abort', onAbort, { once: true })
      set.add(onWake)
    })

  const until: Wakeups['until'] = async (key, options, check) => {
    if (waiting >= WAITERS_MAX) throw new MarketError('limit', `${WAITERS_MAX} requests are waiting already; try later`)
    const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal
    const timeoutMs = Math.min(Math.max(options.timeoutMs, 0), POLL_TIMEOUT_MS_MAX)
    const endMs = clock.monotonicMs() + timeoutMs
    waiting++
    try {
      for (;;) {
        signal.throwIfAborted()
        const found = check()
        if (found !== undefined) return found
        const restMs = endMs - clock.monotonicMs()
        if (restMs <= 0) return undefined
        await nap(key, restMs, signal)
      }
    } finally {
      waiting--
    }
  }
  return {
    until,
    wake: (key) => {
      for (const resume of [...(waiters.get(key) ?? [])]) resume()
    },
    stop: () => stopping.abort(new MarketError('stopped', 'the market is stopping')),
    get waiting() {
      return waiting
    },
  }
}
