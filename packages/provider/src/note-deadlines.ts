/**
 * What becomes of delivered debit notes: each must be accepted in time, and paid in time if it is payable.
 * (Golem: deadlines of debit notes, codes of `golem.provider.code`.)
 */
import type { DebitNote } from '@emet/core'
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

type Deadline = { readonly atMs: number; readonly isPaymentDue: boolean }

/** Looks at a note when its time to be accepted, and its time to be paid, have come. `sentMs`: when it was delivered. */
export async function mindDeadlines(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  terms: Terms,
  { note, sentMs }: { readonly note: DebitNote; readonly sentMs: number },
  signal: AbortSignal,
): Promise<BillTrouble | undefined> {
  const { clock } = deps
  for (const { atMs, isPaymentDue } of deadlinesOf(note, sentMs, terms)) {
    await clock.sleep(Math.max(0, atMs - clock.nowMs()), signal)
    const code = await untilDone(deps, 'check of a debit note', { pauseMs: options.retryMs }, signal, () =>
      checkNote(deps, note, isPaymentDue, signal),
    )
    if (code) return { code, message: `debit note ${note.debitNoteId}: ${DESCRIPTIONS[code]}` }
  }
  return undefined
}

const DESCRIPTIONS: Readonly<Record<BillTrouble['code'], string>> = {
  DebitNotesDeadline: 'not accepted in time',
  DebitNoteRejected: 'rejected',
  DebitNoteCancelled: 'cancelled',
  DebitNoteNotPaid: 'not paid in time',
  RequestorUnreachable: 'not delivered',
}

function deadlinesOf({ paymentDueDate }: DebitNote, sentMs: number, { acceptTimeoutSec }: Terms): Deadline[] {
  const deadlines: Deadline[] = []
  if (acceptTimeoutSec !== undefined) deadlines.push({ atMs: sentMs + acceptTimeoutSec * 1000, isPaymentDue: false })
  if (paymentDueDate !== undefined) deadlines.push({ atMs: paymentDueDate / 1000, isPaymentDue: true })
  return deadlines.sort((a, b) => a.atMs - b.atMs)
}

async function checkNote({ client }: ProviderDeps, note: DebitNote, isPaymentDue: boolean, signal: AbortSignal) {
  const { debitNoteId, activityId, timestamp } = note
  const { status } = await client.payment.getDebitNote({ params: { debitNoteId }, signal })
  const code = troubleOf(status, isPaymentDue)
  if (code !== 'DebitNotesDeadline' && code !== 'DebitNoteNotPaid') return code
  // Totals are cumulative: a newer note of the activity that is in order covers this one.
  const newer = await client.payment.listDebitNotes({ query: { afterTimestamp: timestamp }, signal })
  const isCovered = newer.some((one) => one.activityId === activityId && isInOrder(one.status, isPaymentDue))
  return isCovered ? undefined : code
}

/** Whether a note's status is trouble when its deadline (to be paid, or else to be accepted) has come. */
export function troubleOf(status: DebitNote['status'], isPaymentDue: boolean): BillTrouble['code'] | undefined {
  if (status === 'REJECTED') return 'DebitNoteRejected'
  if (status === 'CANCELLED') return 'DebitNoteCancelled'
  if (isInOrder(status, isPaymentDue)) return undefined
  return isPaymentDue ? 'DebitNoteNotPaid' : 'DebitNotesDeadline'
}

const isInOrder = (status: DebitNote['status'], isPaymentDue: boolean): boolean =>
  status === 'SETTLED' || (status === 'ACCEPTED' && !isPaymentDue)
