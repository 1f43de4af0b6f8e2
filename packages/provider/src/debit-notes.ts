import { hasStatus } from '@emet/api'
import { type DebitNote, fromMs, linearCost, PricingError } from '@emet/core'
import { nextTickMs, paymentDueMs } from './billing.ts'
import { type BillTrouble, mindDeadlines } from './note-deadlines.ts'
import { DELIVERY_PATIENCE, type ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { Terms } from './terms.ts'
import type { ProviderDeps } from './types.ts'

export type DebitNotesInput = {
  readonly agreementId: string
  readonly terms: Terms
  readonly approvedMs: number
  /** Notes of the agreement that a former life of the agent has made, oldest first. */
  readonly past: readonly DebitNote[]
  readonly onTrouble: (trouble: BillTrouble) => void
  /** Aborts when the agreement is over: late notes are no reason to end it any more. */
  readonly over: AbortSignal
}

/** The debit notes of one agreement. */
export interface DebitNotes {
  /** Sends notes on schedule until the signal aborts. */
  run(activityId: string, signal: AbortSignal): Promise<void>
  /** The last note of an activity: made once, and tried until it is delivered. Doing it again changes nothing. */
  close(activityId: string, signal: AbortSignal): Promise<void>
  /** What all activities owe together, as last told. */
  total(): bigint
}

export function createDebitNotes(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  input: DebitNotesInput,
): DebitNotes {
  const { client, clock } = deps
  const { agreementId, terms, approvedMs, past, onTrouble, over } = input
  const logger = deps.logger.child({ agreementId })
  const patience = { pauseMs: options.retryMs }
  const last = new Map(past.map((note) => [note.activityId, note]))
  const payables = past.filter(({ paymentDueDate }) => paymentDueDate !== undefined)
  let lastPayableMs = Math.max(approvedMs, ...payables.map(({ timestamp }) => timestamp / 1000))
  let lastDeliveredMs = clock.nowMs()

  /** What the activity owes. It never goes down: a counter that started over lowers nothing that was told. */
  const measure = async (activityId: string, signal: AbortSignal) => {
    const { currentUsage } = await client.activity.getUsage({ params: { activityId }, query: {}, signal })
    const usage = currentUsage?.length ? currentUsage : terms.pricing.counters.map(() => 0)
    const told = last.get(activityId)?.totalAmountDue ?? 0n
    const cost = costOf(usage, told)
    return { usage, totalAmountDue: cost > told ? cost : told }
  }
  const costOf = (usage: readonly number[], told: bigint): bigint => {
    try {
      return linearCost(terms.pricing, usage)
    } catch (error) {
      if (!(error instanceof PricingError)) throw error
      logger.error('an exe-unit reports usage that does not fit the pricing; it is not billed', { usage, error })
      return told
    }
  }
  const issue = async (activityId: string, isLast: boolean, signal: AbortSignal): Promise<DebitNote> => {
    const { usage, totalAmountDue } = await measure(activityId, signal)
    const former = last.get(activityId)
    const isPayable = terms.paymentTimeoutSec === undefined || former?.paymentDueDate !== undefined
    if (isLast && former?.totalAmountDue === totalAmountDue && isPayable) return former
    const nowMs = clock.nowMs()
    const dueMs = paymentDueMs({ nowMs, lastPayableMs, paymentTimeoutSec: terms.paymentTimeoutSec, isLast })
    const due = dueMs === undefined ? {} : { paymentDueDate: fromMs(dueMs) }
    const body = { activityId, totalAmountDue, usageCounterVector: [...usage], ...due }
    const note = await client.payment.issueDebitNote({ body, signal })
    last.set(activityId, note)
    if (dueMs !== undefined) lastPayableMs = nowMs
    return note
  }
  const deliver = async (note: DebitNote, signal: AbortSignal) => {
    if (note.status !== 'ISSUED') return
    await client.payment.sendDebitNote({ params: { debitNoteId: note.debitNoteId }, query: {}, signal })
    last.set(note.activityId, { ...note, status: 'RECEIVED' })
    lastDeliveredMs = clock.nowMs()
    mind(note, lastDeliveredMs)
  }
  const mind = (note: DebitNote, sentMs: number) => {
    mindDeadlines(deps, options, terms, { note, sentMs }, over).then(
      (trouble) => trouble && onTrouble(trouble),
      (error) => {
        if (!over.aborted) logger.error('a debit note could not be checked', { error })
      },
    )
  }
  const complainWhenUnreachable = () => {
    const silentSec = (clock.nowMs() - lastDeliveredMs) / 1000
    if (terms.acceptTimeoutSec === undefined || silentSec <= terms.acceptTimeoutSec) return
    const message = `no debit note could be delivered for ${Math.round(silentSec)} s`
    onTrouble({ code: 'RequestorUnreachable', message })
  }
  const tick = async (activityId: string, signal: AbortSignal) => {
    let note: DebitNote | undefined
    try {
      note = await issue(activityId, false, signal)
      await deliver(note, signal)
    } catch (error) {
      if (signal.aborted) return
      logger.warn('a debit note could not be sent; the next one will say it all', { activityId, error })
      // When our own daemon is away, that is not the requestor's fault.
      if (note && hasAnswer(error)) complainWhenUnreachable()
    }
  }
  for (const note of past) {
    if (note.status === 'RECEIVED' || note.status === 'ACCEPTED') mind(note, note.timestamp / 1000)
  }
  return {
    run: async (activityId, signal) => {
      lastDeliveredMs = clock.nowMs()
      for (let atMs = clock.nowMs(); !signal.aborted; ) {
        // A timer may fire a moment early: the same tick does not come twice.
        atMs = nextTickMs(approvedMs, terms.debitNoteIntervalSec, Math.max(atMs, clock.nowMs()))
        await clock.sleep(atMs - clock.nowMs(), signal).catch(() => {})
        if (!signal.aborted) await tick(activityId, signal)
      }
    },
    close: async (activityId, signal) => {
      const note = await untilDone(deps, 'last debit note', patience, signal, () => issue(activityId, true, signal))
      const delivery = { ...patience, ...DELIVERY_PATIENCE }
      await untilDone(deps, 'delivery of the last debit note', delivery, signal, async () => {
        try {
          await deliver(note, signal)
        } catch (error) {
          if (!isRefused(error)) throw error
          logger.error('the requestor refuses the last debit note of an activity', { activityId, error })
        }
      })
    },
    total: () => [...last.values()].reduce((sum, { totalAmountDue }) => sum + totalAmountDue, 0n),
  }
}

const hasAnswer = (error: unknown): boolean => error instanceof Error && 'status' in error && error.status !== undefined

/** Trying again would change nothing. */
const isRefused = (error: unknown): boolean => hasStatus(error, 400, 404, 410)
