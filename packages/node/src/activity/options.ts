import { z } from 'zod'

/** Activities of one agreement that may be alive at one time. */
export const ALIVE_PER_AGREEMENT_MAX = 16
/** Activities of one agreement, dead ones included. */
export const ACTIVITIES_PER_AGREEMENT_MAX = 1_000
/** Activities alive on one provider. */
export const ALIVE_MAX = 1_000
/** Counters in one usage vector. */
export const USAGE_COUNTERS_MAX = 64
/** Characters kept of an exe-unit's reason or error message. */
export const REASON_LENGTH_MAX = 4_096
/** The longest a remote caller may wait for one answer. */
export const WAIT_MS_MAX = 3_600_000
/** What a remote call may take beyond the time that the other side was given. Golem: one second. */
export const REMOTE_MARGIN_MS = 1_000
/** Clients waiting for events at one time. */
export const WAITERS_MAX = 1_000
/** Attempts to take up a broken event stream again before it is given up. */
export const STREAM_ATTEMPTS_MAX = 10
/** The pause before each of them. */
export const STREAM_RETRY_MS = 1_000
/** Provider events answered at one time. Golem wire: larger numbers are cut to it. */
export const EVENTS_MAX = 100

/** Settings of the activity module. */
export const activityOptionsSchema = z.object({
  /** An activity without a usage report for so long is shown as Unresponsive. Golem: 5 s. */
  unresponsiveMs: z.int().positive().default(5_000),
  /** After so long without a usage report the provider agent is told to destroy it. Golem: 10 s. */
  inactivityMs: z.int().positive().default(10_000),
  /** After so long, nobody having destroyed it, it counts as terminated. */
  abandonedMs: z.int().positive().default(120_000),
  /** Exe-units have so long to attach again after the daemon has started. */
  startGraceMs: z.int().nonnegative().default(15_000),
  /** How often the above is looked at. */
  checkIntervalMs: z.int().positive().default(1_000),
  /** How long the creation of an activity may take when the requestor has not said. */
  createTimeoutMs: z.int().positive().default(60_000),
  /** Terminated activities and old events are kept so long. */
  retentionMs: z
    .int()
    .positive()
    .default(90 * 24 * 3_600_000),
  /** How often is looked for something to remove. */
  cleanUpIntervalMs: z
    .int()
    .positive()
    .default(24 * 3_600_000),
})
export type ActivityOptions = z.output<typeof activityOptionsSchema>
