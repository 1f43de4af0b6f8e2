import type { Clock } from '@emet/core'

/** Rejects with the signal's reason as soon as it aborts, even when `promise` does not listen. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Runs `task` with a signal that aborts with `signal`, or with `onLimit()` when `limitMs` has passed. */
export async function withLimit<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal | undefined,
  onLimit: () => unknown,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const limit = new AbortController()
  const cancel = clock.setTimer(limitMs, () => limit.abort(onLimit()))
  const both = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal
  try {
    return await abortable(task(both), both)
  } finally {
    cancel()
  }
}

/** Calls each, in order, whatever the others do; failures go to `onFailure`. */
export async function settleAll(
  steps: readonly (() => Promise<unknown>)[],
  onFailure: (error: unknown) => void,
): Promise<void> {
  for (const step of steps) await step().catch(onFailure)
}

/** Tries until it works, fails for good, or the signal aborts. */
export async function insist<T>(
  clock: Clock,
  signal: AbortSignal,
  pauseMs: number,
  isFinal: (error: unknown) => boolean,
  attempt: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted || isFinal(error)) throw error
      await clock.sleep(pauseMs, signal)
    }
  }
}
