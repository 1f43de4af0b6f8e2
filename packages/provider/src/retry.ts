import type { Clock, Logger } from '@emet/core'

/** The longest pause between two tries. */
const RETRY_PAUSE_MS_MAX = 60_000

export type Patience = {
  /** The first pause; each one is half as long again. */
  readonly pauseMs: number
  /** The longest pause. Default: a minute. */
  readonly pauseMsMax?: number
  /** After this the last failure is thrown. Default: never. */
  readonly giveUpMs?: number
}

/** Tries until it works, patience ends or the signal aborts, with growing pauses. The first failure is a warning. */
export async function untilDone<T>(
  deps: { readonly clock: Clock; readonly logger: Logger },
  what: string,
  { pauseMs, pauseMsMax = RETRY_PAUSE_MS_MAX, giveUpMs = Number.POSITIVE_INFINITY }: Patience,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  const { clock, logger } = deps
  const startedMs = clock.monotonicMs()
  for (let pause = pauseMs; ; pause = Math.min(pause * 1.5, pauseMsMax)) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted || clock.monotonicMs() - startedMs >= giveUpMs) throw error
      const level = pause === pauseMs ? 'warn' : 'debug'
      logger[level]('a step failed and will be tried again', { what, pauseMs: pause, error })
    }
    await clock.sleep(pause, signal)
  }
}

/** Like `promise`, but rejects with the signal's reason as soon as that aborts. Leaves no listener behind. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** A controller that aborts with `parent`, and can be let go of before. */
export function linkedController(parent: AbortSignal): { readonly end: AbortController; unlink(): void } {
  const end = new AbortController()
  const onAbort = () => end.abort(parent.reason)
  if (parent.aborted) onAbort()
  parent.addEventListener('abort', onAbort, { once: true })
  return { end, unlink: () => parent.removeEventListener('abort', onAbort) }
}
