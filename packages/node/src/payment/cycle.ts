/** When a payment cycle runs. Pure. */
import { Cron } from 'croner'
import { PaymentError } from './errors.ts'
import type { PaymentOptions } from './options.ts'
import type { PaymentCycle } from './records.ts'

/** The shortest pause between two runs that a client may set. */
export const CYCLE_INTERVAL_MIN_MS = 1_000
/** The longest pause between two runs that a client may set. */
export const CYCLE_INTERVAL_MAX_MS = 366 * 24 * 60 * 60_000

/** Golem: platforms of test tokens have short cycles, those of real ones long. */
export function defaultCycle(
  options: PaymentOptions,
  key: Pick<PaymentCycle, 'owner' | 'platform'>,
  nowMs: number,
): PaymentCycle {
  const isTest = key.platform.includes('-tglm')
  const intervalMs = isTest ? options.testnetCycleIntervalMs : options.mainnetCycleIntervalMs
  const extraPayTimeMs = isTest ? options.testnetExtraPayTimeMs : options.mainnetExtraPayTimeMs
  return { ...key, intervalMs, cron: undefined, extraPayTimeMs, nextMs: nowMs + intervalMs, lastMs: undefined }
}

/** The cycle after a run at `nowMs`. */
export function afterRun(cycle: PaymentCycle, nowMs: number): PaymentCycle {
  const nextMs = cycle.cron === undefined ? nowMs + (cycle.intervalMs ?? 0) : nextOfCron(cycle.cron, nowMs)
  return { ...cycle, lastMs: nowMs, nextMs }
}

/** When something payable with this due date is ordered: with the next run, or earlier to be in time. */
export function runAtMs(cycle: PaymentCycle, dueMs: number | undefined): number {
  return dueMs === undefined ? cycle.nextMs : Math.min(cycle.nextMs, dueMs - cycle.extraPayTimeMs)
}

export type CycleChange = {
  readonly intervalMs: number | undefined
  readonly cron: string | undefined
  readonly extraPayTimeMs: number | undefined
  readonly nextMs: number | undefined
}

/** Throws `PaymentError` `bad-request` naming the field. */
export function changeCycle(cycle: PaymentCycle, change: CycleChange, nowMs: number): PaymentCycle {
  const { intervalMs, cron } = change
  if (intervalMs !== undefined && cron !== undefined) {
    throw new PaymentError('bad-request', 'give either intervalSec or cron, not both')
  }
  if (intervalMs !== undefined && (intervalMs < CYCLE_INTERVAL_MIN_MS || intervalMs > CYCLE_INTERVAL_MAX_MS)) {
    throw new PaymentError(
      'bad-request',
      `intervalSec: ${intervalMs / 1000} is not between 1 and ${CYCLE_INTERVAL_MAX_MS / 1000}`,
    )
  }
  const rhythm =
    intervalMs === undefined && cron === undefined
      ? { intervalMs: cycle.intervalMs, cron: cycle.cron }
      : { intervalMs, cron }
  const changed = { ...cycle, ...rhythm, extraPayTimeMs: change.extraPayTimeMs ?? cycle.extraPayTimeMs }
  const nextMs = change.nextMs ?? afterRun(changed, nowMs).nextMs
  return { ...changed, nextMs }
}

function nextOfCron(pattern: string, nowMs: number): number {
  try {
    const next = new Cron(pattern, { paused: true, timezone: 'UTC' }).nextRun(new Date(nowMs))
    if (next) return next.getTime()
  } catch (cause) {
    throw new PaymentError('bad-request', `cron: not a cron expression: ${JSON.stringify(pattern)}`, {}, { cause })
  }
  throw new PaymentError('bad-request', `cron: ${JSON.stringify(pattern)} never comes`)
}
