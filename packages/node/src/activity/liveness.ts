import type { ActivityUsage, Clock } from '@emet/core'
import type { ActivityOptions } from './options.ts'

/** How an activity's reports stand. */
export type Pulse =
  /** They come. */
  | 'beating'
  /** They have stayed away for so long that others are shown Unresponsive. */
  | 'missed'
  /** For so long that the provider agent is to destroy it. */
  | 'lost'
  /** For so long that nothing of it can be alive. */
  | 'abandoned'

type Entry = { lastReportMs: number; usage: ActivityUsage | undefined; savedMs: number }

/** Usage is written to the database at most so often: a report each second would be a disk sync each second. */
const USAGE_SAVE_INTERVAL_MS = 10_000

/** The exe-units' reports: the newest usage of each activity, and how long it is ago. Pure but for the clock. */
export type Liveness = {
  /** Begins to watch; the first report may take `graceMs` longer than others. */
  watch(activityId: string, graceMs: number): void
  forget(activityId: string): void
  /** A sign of life. */
  beat(activityId: string): void
  /** A usage report. Returns whether it is to be saved. */
  report(activityId: string, usage: ActivityUsage): boolean
  usage(activityId: string): ActivityUsage | undefined
  pulse(activityId: string): Pulse
  watched(): string[]
}

/** Watches nothing yet. */
export function createLiveness(
  clock: Clock,
  options: Pick<ActivityOptions, 'unresponsiveMs' | 'inactivityMs' | 'abandonedMs'>,
): Liveness {
  const entries = new Map<string, Entry>()
  return {
    watch: (activityId, graceMs) => {
      if (entries.has(activityId)) return
      const lastReportMs = clock.monotonicMs() + graceMs
      entries.set(activityId, { lastReportMs, usage: undefined, savedMs: Number.NEGATIVE_INFINITY })
    },
    forget: (activityId) => void entries.delete(activityId),
    beat: (activityId) => {
      const entry = entries.get(activityId)
      if (entry) entry.lastReportMs = clock.monotonicMs()
    },
    report: (activityId, usage) => {
      const entry = entries.get(activityId)
      if (!entry) return false
      const nowMs = clock.monotonicMs()
      entry.lastReportMs = nowMs
      entry.usage = usage
      const isDue = nowMs - entry.savedMs >= USAGE_SAVE_INTERVAL_MS
      if (isDue) entry.savedMs = nowMs
      return isDue
    },
    usage: (activityId) => entries.get(activityId)?.usage,
    pulse: (activityId) => {
      const entry = entries.get(activityId)
      const silentMs = entry ? clock.monotonicMs() - entry.lastReportMs : 0
      if (silentMs >= options.abandonedMs) return 'abandoned'
      if (silentMs >= options.inactivityMs) return 'lost'
      return silentMs >= options.unresponsiveMs ? 'missed' : 'beating'
    },
    watched: () => [...entries.keys()],
  }
}
