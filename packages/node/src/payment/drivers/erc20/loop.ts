import type { Clock } from '@emet/core'

/** Looks, sleeps as long as the look said, looks again. */
export interface Loop {
  /** Ends the sleep; during a look, makes the next sleep none. */
  wake(): void
  /** Until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** `look` never rejects; it returns how long to sleep, undefined: until woken. */
export function createLoop(clock: Clock, look: (signal: AbortSignal) => Promise<number | undefined>): Loop {
  let isAwake = false
  let interrupt: (() => void) | undefined

  const sleep = (delayMs: number | undefined, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (isAwake || signal.aborted) return resolve()
      const end = () => {
        cancel?.()
        signal.removeEventListener('abort', end)
        interrupt = undefined
        resolve()
      }
      const cancel = delayMs === undefined ? undefined : clock.setTimer(delayMs, end)
      interrupt = end
      signal.addEventListener('abort', end, { once: true })
    })
  return {
    wake: () => {
      isAwake = true
      interrupt?.()
    },
    run: async (signal) => {
      while (!signal.aborted) {
        isAwake = false
        await sleep(await look(signal), signal)
      }
    },
  }
}
