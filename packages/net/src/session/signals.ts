import type { Clock } from '@emet/core'

/** Settles as `promise` does, or rejects with the signal's reason when that comes first. */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** A signal that aborts with `makeReason()` after `ms`. Call `done` when it is not needed any more. */
export function deadline(clock: Clock, ms: number, makeReason: () => Error): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, done: clock.setTimer(ms, () => controller.abort(makeReason())) }
}
