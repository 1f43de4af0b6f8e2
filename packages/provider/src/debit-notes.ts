import { type DebitNote, fromMs, linearCost } from '@emet/core'
import { nextTickMs, paymentDueMs } from './billing.ts'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { Terms } from './terms.ts'
import type { ProviderDeps } from './types.ts'

/** Why billing ends the agreement, as the network spells it. */
export type BillTrouble = {
  readonly code:
    | 'DebitNotesDeadline'
    | 'DebitNoteRejected'
    | 'DebitNoteCancelled'
    | 'DebitNoteNotPaid'
    | 'RequestorUnreachable'
  readonly message: string
}

export type DebitNotesInput = {
  readonly agreementId: string
  readonly terms: Terms
  readonly approvedMs: number
  readonly onTrouble: (trouble: BillTrouble) => void
}

/** The debit notes of one agreement. */
export interface DebitNotes {
  /** What a former life of the agent has told already. */
  restore(activityId: string, amount: bigint): void
  /** Sends notes on schedule, and minds their deadlines, until the signal aborts. */
  run(activityId: string, signal: AbortSignal): Promise<void>
  /** The last note of an activity: tried until it is delivered. */
  close(activityId: string, signal: AbortSignal): Promise<void>
  /** What all activities owe together, as last told. */
  total(): bigint
}

export function createDebitNotes(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  input: DebitNotesInput,
): DebitNotes {
  const { client, clock, logger } = deps
  const { agreementId, terms, approvedMs, onTrouble } = input
  const told = new Map<string, bigint>()
  let lastPayableMs = approvedMs
  let lastDeliveredMs = clock.nowMs()

  const send = async (activityId: string, isLast: boolean, signal: AbortSignal): Promise<DebitNote> => {
    const { currentUsage } = await client.activity.getUsage({ params: { activityId }, query: {}, signal })
    const usage = currentUsage ?? terms.pricing.counters.map(() => 0)
    const cost = linearCost(terms.pricing, usage)
    // A counter that started over must not lower what is due already.
    const before = told.get(activityId) ?? 0n
    const totalAmountDue = cost > before ? cost : before
    const nowMs = clock.nowMs()
    const dueMs = paymentDueMs({ nowMs, lastPayableMs, paymentTimeoutSec: terms.paymentTimeoutSec, isLast })
    const due = dueMs === undefined ? {} : { paymentDueDate: fromMs(dueMs) }
    const body = { activityId, totalAmountDue, usageCounterVector: usage, ...due }
    const note = await client.payment.issueDebitNote({ body, signal })
    await client.payment.sendDebitNote({ params: { debitNoteId: note.debitNoteId }, query: {}, signal })
    told.set(activityId, totalAmountDue)
    lastDeliveredMs = clock.nowMs()
    if (dueMs !== undefined) lastPayableMs = nowMs
    return note
  }
  const complainWhenUnreachable = () => {
    const silentSec = (clock.nowMs() - lastDeliveredMs) / 1000
    if (terms.acceptTimeoutSec === undefined || silentSec <= terms.acceptTimeoutSec) return
    const message = `no debit note could be delivered for ${Math.round(silentSec)} s`
    onTrouble({ code: 'RequestorUnreachable', message })
  }
  const tick = async (activityId: string, signal: AbortSignal) => {
    try {
      const note = await send(activityId, false, signal)
      mindDeadlines(deps, note, terms, onTrouble, signal).catch((error) => {
        if (!signal.aborted) logger.warn('a debit note could not be checked', { agreementId, error })
      })
    } catch (error) {
      if (signal.aborted) return
      logger.warn('a debit note could not be sent', { agreementId, activityId, error })
      complainWhenUnreachable()
    }
  }
  return {
    restore: (activityId, amount) => void told.set(activityId, amount),
    run: async (activityId, signal) => {
      while (!signal.aborted) {
        const atMs = nextTickMs(approvedMs, terms.debitNoteIntervalSec, clock.nowMs())
        await clock.sleep(atMs - clock.nowMs(), signal)
        await tick(activityId, signal)
      }
    },
    close: async (activityId, signal) => {
      await untilDone(deps, 'last debit note', options.retryMs, signal, () => send(activityId, true, signal))
    },
    total: () => [...told.values()].reduce((sum, one) => sum + one, 0n),
  }
}

/** Looks at a note when its time to be accepted, and its time to be paid, have come. */
async function mindDeadlines(
  { client, clock }: ProviderDeps,
  note: DebitNote,
  terms: Terms,
  onTrouble: (trouble: BillTrouble) => void,
  signal: AbortSignal,
): Promise<void> {
  const { debitNoteId, paymentDueDate } = note
  const deadlines: { atMs: number; isPaymentDue: boolean }[] = []
  if (terms.acceptTimeoutSec !== undefined) {
    deadlines.push({ atMs: clock.nowMs() + terms.acceptTimeoutSec * 1000, isPaymentDue: false })
  }
  if (paymentDueDate !== undefined) deadlines.push({ atMs: paymentDueDate / 1000, isPaymentDue: true })
  for (const { atMs, isPaymentDue } of deadlines.sort((a, b) => a.atMs - b.atMs)) {
    await clock.sleep(Math.max(0, atMs - clock.nowMs()), signal)
    const { status } = await client.payment.getDebitNote({ params: { debitNoteId }, signal })
    const code = troubleOf(status, isPaymentDue)
    if (code) return onTrouble({ code, message: `debit note ${debitNoteId} is ${status}` })
  }
}

/** Whether a note's status is trouble when its deadline (to be paid, or else to be accepted) has come. */
export function troubleOf(status: DebitNote['status'], isPaymentDue: boolean): BillTrouble['code'] | undefined {
  if (status === 'REJECTED') return 'DebitNoteRejected'
  if (status === 'CANCELLED') return 'DebitNoteCancelled'
  if (status === 'SETTLED') return undefined
  if (isPaymentDue) return 'DebitNoteNotPaid'
  return status === 'ACCEPTED' ? undefined : 'DebitNotesDeadline'
}
