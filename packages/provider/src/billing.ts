/** When debit notes are due. (Golem: ticks at approval + k * interval, missed ones are skipped.) */
import { fromMs, type InstantUs } from '@emet/core'

/** The next tick strictly after `nowMs`. */
export function nextTickMs(approvedMs: number, intervalSec: number, nowMs: number): number {
  const intervalMs = intervalSec * 1000
  const passed = Math.max(0, Math.floor((nowMs - approvedMs) / intervalMs))
  return approvedMs + (passed + 1) * intervalMs
}

export type PayableInput = {
  readonly nowMs: number
  /** When the last payable note was made; the approval, if there was none. */
  readonly lastPayableMs: number
  /** The negotiated payment timeout; undefined = nothing is paid before the invoice. */
  readonly paymentTimeoutSec: number | undefined
  /** The last note of an activity is payable whenever payments on the way were agreed. */
  readonly isLast: boolean
}

/** By when the note must be paid; undefined when it waits for the invoice. */
export function paymentDueMs({ nowMs, lastPayableMs, paymentTimeoutSec, isLast }: PayableInput): number | undefined {
  if (paymentTimeoutSec === undefined) return undefined
  const timeoutMs = paymentTimeoutSec * 1000
  return isLast || nowMs >= lastPayableMs + timeoutMs ? nowMs + timeoutMs : undefined
}

/** An invoice without an agreed payment timeout is due in a day. */
export const INVOICE_DUE_SEC = 24 * 3600

/** Agreements are dated by the requestor's clock, bills and events by ours: how far the two may be apart. */
export const CLOCK_SKEW_MS_MAX = 3_600_000

/** No bill or event of an agreement is older than this. */
export const earliestOf = (agreementTimestamp: InstantUs): InstantUs => agreementTimestamp - fromMs(CLOCK_SKEW_MS_MAX)
