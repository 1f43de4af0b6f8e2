import type { Clock, Logger } from '@emet/core'

/** The longest pause between two tries. */
const RETRY_PAUSE_MS_MAX = 60_000

/** Tries until it works or the signal aborts, with growing pauses. */
export async function untilDone<T>(
  deps: { readonly clock: Clock; readonly logger: Logger },
  what: string,
  firstPauseMs: number,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, RETRY_PAUSE_MS_MAX)) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted) throw error
      deps.logger.warn('a step failed and will be tried again', { what, pauseMs, error })
    }
    await deps.clock.sleep(pauseMs, signal)
  }
}
