/**
 * Time as a port. Nothing else in Emet reads the wall clock or sets a timer, so that a simulation can run the
 * same code under a virtual clock.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, as the operating system tells it. May jump. */
  nowMs(): number
  /** Milliseconds on a clock that never goes back; only differences mean anything. */
  monotonicMs(): number
  /** Resolves after `ms`. Rejects with the signal's reason as soon as `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` once after `ms`, unless the returned function is called before. */
  setTimer(ms: number, task: () => void): () => void
}

/** The largest delay a platform timer takes; longer waits are re-armed. */
const TIMER_MAX_MS = 2 ** 31 - 1

/** The clock of a real process. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleepWith(systemClock, ms, signal),
  setTimer: (ms, task) => {
    const delayMs = Math.min(Math.max(ms, 0), TIMER_MAX_MS)
    let cancelRest: (() => void) | undefined
    const timer = setTimeout(() => {
      if (ms > TIMER_MAX_MS) cancelRest = systemClock.setTimer(ms - TIMER_MAX_MS, task)
      else task()
    }, delayMs)
    if (typeof timer === 'object') timer.unref()
    return () => {
      clearTimeout(timer)
      cancelRest?.()
    }
  },
}

/** `Clock.sleep` in terms of `setTimer`, for implementations of `Clock`. */
export function sleepWith(clock: Pick<Clock, 'setTimer'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.setTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
