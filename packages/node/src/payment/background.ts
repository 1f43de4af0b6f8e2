import { type Clock, type Logger, messageOf } from '@emet/core'

/** Runs what nobody waits for, and can say when nothing of it runs any more. */
export interface Background {
  /** Aborts at `stop()`. */
  readonly signal: AbortSignal
  /** Starts `task`; a failure is logged under `name`. Does nothing after `stop()`. */
  spawn(name: string, task: (signal: AbortSignal) => Promise<void>): void
  /** Aborts everything and waits for its end. */
  stop(): Promise<void>
}

export function createBackground(logger: Logger): Background {
  const controller = new AbortController()
  const running = new Set<Promise<void>>()
  return {
    signal: controller.signal,
    spawn: (name, task) => {
      if (controller.signal.aborted) return
      const run = task(controller.signal).catch((error: unknown) => {
        if (!controller.signal.aborted) logger.warn('a background task failed', { task: name, error: messageOf(error) })
      })
      running.add(run)
      void run.finally(() => running.delete(run))
    },
    stop: async () => {
      controller.abort(new Error('the payment module stops'))
      while (running.size > 0) await Promise.all(running)
    },
  }
}

/** One timer that is moved as the next thing to do changes. */
export interface Alarm {
  /** Rings at `atMs` instead of when it would have; never, when undefined. */
  set(atMs: number | undefined): void
}

export function createAlarm(clock: Clock, ring: () => void): Alarm {
  let cancel: (() => void) | undefined
  return {
    set: (atMs) => {
      cancel?.()
      cancel = undefined
      if (atMs === undefined) return
      cancel = clock.setTimer(Math.max(0, atMs - clock.nowMs()), () => {
        cancel = undefined
        ring()
      })
    },
  }
}

/** Aborts as soon as one of them does. */
export const anyOf = (given: AbortSignal | undefined, own: AbortSignal): AbortSignal =>
  given ? AbortSignal.any([given, own]) : own
