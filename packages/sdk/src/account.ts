import { type DebitNote, type Invoice, type LinearPricing, linearCost, messageOf } from '@emet/core'
import { costLimit, judgeDebitNote, judgeInvoice, type UseObserved, usageVectorOf, type Verdict } from './bill.ts'
import type { SdkDeps } from './daemon.ts'
import { isRefusal } from './daemon-errors.ts'
import { GolemError } from './errors.ts'
import type { SdkEventBody } from './events.ts'
import { ACCEPT_LIMIT_MS, POLL_PAUSE_MS } from './limits.ts'
import { costOfUse } from './offers.ts'
import type { Purse, Spender } from './purse.ts'
import { insist, withLimit } from './scope.ts'
import { type PaidSoFar, waitForPayment } from './settlement.ts'
import type { Receipt } from './types.ts'

/** What was agreed, as far as money goes. */
export type AccountTerms = {
  readonly agreementId: string
  readonly providerId: string
  readonly providerName: string
  readonly pricing: LinearPricing
  readonly threads: number
  readonly allocationId: string
}

/** The money side of one agreement: judges bills, accepts what is right, and keeps the account. */
export interface Account extends Spender {
  readonly terms: AccountTerms
  /** The meter runs from `begin` to `end`. */
  begin(activityId: string): void
  end(): void
  debitNote(note: DebitNote): Promise<void>
  invoice(invoice: Invoice): Promise<void>
  /** Resolves when the invoice has been accepted or refused. */
  readonly billed: Promise<void>
  recordUsage(usage: readonly number[]): void
  receipt(): Receipt
  /** Waits until what was accepted is seen on chain. */
  settled(signal: AbortSignal | undefined): Promise<Receipt>
}

export type AccountHooks = {
  emit(event: SdkEventBody): void
  /** Fetches usage from the provider. */
  fetchUsage(): Promise<readonly number[] | undefined>
  exhausted(): void
}

/** Opens the account of an agreement. Bills are judged one after the other, in the order they come. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one account, whose figures belong together
export function createAccount(deps: SdkDeps, terms: AccountTerms, purse: Purse, hooks: AccountHooks): Account {
  const { client, clock, log } = deps
  const { pricing, threads, allocationId } = terms
  const billing = Promise.withResolvers<void>()
  let activityId: string | undefined
  let beganMs: number | undefined
  let endedMs: number | undefined
  let reportedMs = 0
  let reported: Record<string, number> = {}
  let accepted = 0n
  let invoiceId: string | undefined
  let paid: PaidSoFar = { amount: 0n, transactions: [] }
  const refused: string[] = []
  let queue: Promise<void> = Promise.resolve()

  const secondsUntil = (nowMs: number) => (beganMs === undefined ? 0 : Math.max(0, (endedMs ?? nowMs) - beganMs) / 1000)
  const use = (): UseObserved => ({ seconds: secondsUntil(clock.monotonicMs()), threads, reported })
  const usageVector = () => pricing.counters.map((counter) => reported[counter] ?? 0)
  const recordUsage = (usage: readonly number[]) => {
    const vector = usageVectorOf(usage, pricing)
    if (!vector) return
    reported = Object.fromEntries(pricing.counters.map((counter, at) => [counter, vector[at] ?? 0]))
    reportedMs = clock.monotonicMs()
  }
  const refuse = (what: string, amount: bigint, reason: string) => {
    refused.push(`${what}: ${reason}`)
    hooks.emit({ kind: 'payment', phase: 'refused', amount, reason: `${what} not accepted: ${reason}` })
  }
  /** Takes from the purse what is new, accepts, and puts it back if the daemon refuses. Accepting twice does no harm. */
  const accept = async (total: bigint, send: () => Promise<unknown>): Promise<Verdict> => {
    const more = total > accepted ? total - accepted : 0n
    const tooMuch = purse.take(more)
    if (tooMuch) return tooMuch
    try {
      await withLimit(clock, ACCEPT_LIMIT_MS, undefined, acceptTooSlow, (limited) =>
        insist(clock, limited, POLL_PAUSE_MS, isRefusal, send),
      )
      accepted += more
      return undefined
    } catch (error) {
      purse.putBack(more)
      log.warn('a bill could not be accepted', { agreementId: terms.agreementId, error: messageOf(error) })
      return `the daemon refused: ${messageOf(error)}`
    }
  }
  const onDebitNote = async (note: DebitNote) => {
    if (note.status !== 'RECEIVED' || note.activityId !== activityId) return
    const { debitNoteId, totalAmountDue } = note
    const wrong = judgeDebitNote(pricing, totalAmountDue, note.usageCounterVector, use())
    if (wrong) return refuse('debit note', totalAmountDue, wrong)
    recordUsage(note.usageCounterVector as number[])
    const body = { totalAmountAccepted: totalAmountDue, allocationId }
    const failed = await accept(totalAmountDue, () => client.payment.acceptDebitNote({ params: { debitNoteId }, body }))
    if (failed) return refuse('debit note', totalAmountDue, failed)
    hooks.emit({ kind: 'payment', phase: 'debit-note', amount: totalAmountDue })
  }
  const onInvoice = async (invoice: Invoice) => {
    if (invoice.status !== 'RECEIVED' || invoiceId !== undefined) return
    const { amount } = invoice
    invoiceId = invoice.invoiceId
    const params = { invoiceId: invoice.invoiceId }
    const body = { totalAmountAccepted: amount, allocationId }
    const wrong =
      judgeInvoice(pricing, amount, accepted, use()) ??
      (await accept(amount, () => client.payment.acceptInvoice({ params, body })))
    if (wrong) {
      refuse('invoice', amount, wrong)
      const rejection = { rejectionReason: 'INCORRECT_AMOUNT' as const, totalAmountAccepted: 0n, message: wrong }
      await client.payment.rejectInvoice({ params, body: rejection }).catch((error) => {
        log.warn('an invoice could not be rejected', { ...params, error: messageOf(error) })
      })
    } else hooks.emit({ kind: 'payment', phase: 'invoice', amount })
    billing.resolve()
  }
  const inTurn = (task: () => Promise<void>) => {
    queue = queue.then(task)
    return queue
  }
  const receipt = (): Receipt => ({
    providerId: terms.providerId,
    providerName: terms.providerName,
    agreementId: terms.agreementId,
    activityId,
    pricing,
    seconds: use().seconds,
    usage: { ...reported },
    agreed: beganMs === undefined ? 0n : linearCost(pricing, usageVector()),
    invoiceId,
    accepted,
    paid: paid.amount,
    pending: accepted > paid.amount ? accepted - paid.amount : 0n,
    refused: [...refused],
    transactions: paid.transactions,
  })
  const settled = async (signal: AbortSignal | undefined): Promise<Receipt> => {
    await queue
    if (accepted > 0n && invoiceId === undefined) throw unbilledError(terms, accepted)
    if (accepted > 0n && invoiceId !== undefined) {
      paid = await waitForPayment(deps, { ...terms, activityId, invoiceId, amount: accepted }, signal)
      for (const transaction of paid.transactions) {
        hooks.emit({ kind: 'payment', phase: 'settled', amount: paid.amount, transaction })
      }
    }
    return receipt()
  }
  return {
    terms,
    begin: (id) => {
      activityId = id
      beganMs ??= clock.monotonicMs()
      reportedMs = beganMs
    },
    end: () => {
      endedMs ??= clock.monotonicMs()
    },
    debitNote: (note) => inTurn(() => onDebitNote(note)),
    invoice: (invoice) => inTurn(() => onInvoice(invoice)),
    billed: billing.promise,
    recordUsage,
    receipt,
    settled,
    exposure: (aheadSeconds) => {
      if (beganMs === undefined) return 0n
      const since = Math.max(0, (endedMs ?? clock.monotonicMs()) - reportedMs) / 1000
      const sure = linearCost(pricing, usageVector())
      const exposed = exposureOf(terms, sure, since + aheadSeconds, { ...use(), seconds: use().seconds + aheadSeconds })
      return exposed > accepted ? exposed : accepted
    },
    refresh: async () => {
      const usage = await hooks.fetchUsage().catch(() => undefined)
      if (usage) recordUsage(usage)
    },
    exhaust: hooks.exhausted,
  }
}

const acceptTooSlow = () => new Error(`it could not be reached for ${ACCEPT_LIMIT_MS / 1000} s`)

/** What is sure, and full use since; but never more than an honest bill can come to. */
function exposureOf({ pricing, threads }: AccountTerms, sure: bigint, sinceSeconds: number, use: UseObserved): bigint {
  const guess = sure + costOfUse({ ...pricing, fixed: 0 }, sinceSeconds, threads)
  const most = costLimit(pricing, use)
  return guess < most ? guess : most
}

function unbilledError(terms: AccountTerms, accepted: bigint): GolemError {
  return new GolemError('payment.failed', `provider ${terms.providerName} has sent no invoice`, {
    phase: 'payment',
    blame: 'provider',
    retryable: false,
    providerId: terms.providerId,
    costSoFar: accepted,
    hint: 'What was accepted by debit notes is paid by the daemon all the same; see "emet payment invoices"',
  })
}
