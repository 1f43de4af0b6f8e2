import type { Logger } from '@emet/core'

/** Promises that nobody awaits one by one, kept so that an end can wait for them. */
export interface Work {
  readonly size: number
  /** Failures are logged, unless the signal has aborted. */
  track(what: string, promise: Promise<unknown>): void
  /** Resolves when nothing is left, nor was added meanwhile. */
  settled(): Promise<void>
  /** Resolves when one of those that run now has ended. */
  oneDone(): Promise<void>
}

export function createWork(logger: Logger, signal: AbortSignal): Work {
  const running = new Set<Promise<void>>()
  const track = (what: string, promise: Promise<unknown>) => {
    const tracked: Promise<void> = promise
      .then(
        () => {},
        (error) => {
          if (!signal.aborted) logger.error('a part of the work failed', { what, error })
        },
      )
      .finally(() => running.delete(tracked))
    running.add(tracked)
  }
  const settled = async () => {
    while (running.size > 0) await Promise.all(running)
  }
  return {
    get size() {
      return running.size
    },
    track,
    settled,
    oneDone: () => Promise.race(running),
  }
}
