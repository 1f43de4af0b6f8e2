/**
 * Tells the daemon the activity's state after each change and its usage every second. Golem wire: `SetActivityState` and
 * `SetActivityUsage` below the report URL. The daemon may restart: what could not be told is told again, newest first
 * only, and a daemon that does not come back ends the activity.
 */
import { type Bus, ReplyError } from '@emet/bus'
import { type Clock, type Logger, messageOf } from '@emet/core'
import { REPORT_MESSAGES, USAGE_REPORT_INTERVAL_MS } from './protocol.ts'
import type { StatePair } from './state.ts'

/** How long one report may take. */
const REPORT_TIMEOUT_MS = 5_000
/** Pause before a report is tried again. */
const RETRY_MS = 500
/** A report that took longer may have reached a daemon that has just restarted; then the state is told once more. */
const PROMPT_MS = 500
/** A state that has not changed is told again so often: a daemon may restart between two reports without a trace. */
export const STATE_REPEAT_MS = 5_000
/** How long the activity lives without a daemon that takes its reports. */
export const ORPHAN_MS = 10 * 60_000

/** Golem wire: `ActivityState`. */
export type ActivityStateDocument = {
  readonly state: StatePair
  readonly reason: string | null
  readonly errorMessage: string | null
}

export type ReporterOptions = {
  readonly activityId: string
  readonly reportUrl: string
  readonly orphanMs?: number | undefined
}

export interface Reporter {
  /** Queues a state; a newer one replaces it while it waits, the end never. */
  setState(state: ActivityStateDocument): void
  /** Resolves when the newest state was taken by the daemon, or `signal` aborts. */
  flushed(signal: AbortSignal): Promise<void>
  /** Reports usage every second until `signal` aborts. */
  reportUsage(vector: () => number[], signal: AbortSignal): Promise<void>
}

/** `onLost` is called when the daemon refuses the reports or has been away for too long. */
export function createReporter(
  deps: { readonly bus: Bus; readonly clock: Clock; readonly logger: Logger; readonly onLost: (why: string) => void },
  options: ReporterOptions,
): Reporter {
  const { bus, clock, logger } = deps
  const { activityId, reportUrl } = options
  let newest: ActivityStateDocument | undefined
  let sending: Promise<void> | undefined
  let current: ActivityStateDocument | undefined
  let answeredMs = clock.monotonicMs()
  let stateToldMs = answeredMs

  const call = async (message: string, body: Record<string, unknown>): Promise<boolean> => {
    try {
      await bus.call(
        `${reportUrl}/${message}`,
        { activityId, ...body, timeout: null },
        { timeoutMs: REPORT_TIMEOUT_MS },
      )
      answeredMs = clock.monotonicMs()
      return true
    } catch (error) {
      logger.warn('the daemon did not take a report', { message, why: messageOf(error) })
      if (error instanceof ReplyError) deps.onLost(`the daemon refuses reports: ${messageOf(error)}`)
      else if (clock.monotonicMs() - answeredMs > (options.orphanMs ?? ORPHAN_MS)) {
        deps.onLost(`the daemon has not answered for ${Math.round((clock.monotonicMs() - answeredMs) / 1000)} s`)
      }
      return error instanceof ReplyError
    }
  }
  const sendAll = async () => {
    while (newest) {
      const state = newest
      const isTaken = await call(REPORT_MESSAGES.setActivityState, { state, credentials: null })
      if (isTaken && newest === state) newest = undefined
      else if (!isTaken) await clock.sleep(RETRY_MS)
    }
    sending = undefined
  }
  const setState = (state: ActivityStateDocument) => {
    newest = state
    current = state
    stateToldMs = clock.monotonicMs()
    sending ??= sendAll()
  }
  return {
    setState,
    flushed: (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
        if (signal.aborted) resolve()
        void (sending ?? Promise.resolve()).then(resolve)
      }),
    reportUsage: async (vector, signal) => {
      let isDoubtful = false
      while (!signal.aborted) {
        const beganMs = clock.monotonicMs()
        const usage = { currentUsage: vector(), timestamp: Math.floor(clock.nowMs() / 1000) }
        const isTaken = await call(REPORT_MESSAGES.setActivityUsage, { usage })
        isDoubtful ||= !isTaken || clock.monotonicMs() - beganMs > PROMPT_MS
        isDoubtful ||= clock.monotonicMs() - stateToldMs > STATE_REPEAT_MS
        if (isTaken && isDoubtful && current && !signal.aborted) {
          isDoubtful = false
          setState(current)
        }
        await clock.sleep(USAGE_REPORT_INTERVAL_MS, signal).catch(() => {})
      }
    },
  }
}
