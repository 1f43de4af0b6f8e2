/**
 * Collecting, the payee's side. A payer announces a payment with its signature; what counts is the chain. The transfer is
 * looked up through the driver and claimed for this payment in the transaction that books it, so that no transfer counts
 * twice. An announcement that the chain does not show yet is written down and looked up again; a payment that is not
 * final yet is looked up once more when it should be, and taken back if the chain has changed its mind.
 */
import { messageOf, type NodeId, type Payment } from '@emet/core'
import { checkAnnouncement } from './announcement.ts'
import { createAlarm } from './background.ts'
import { book, isBooked, look, notOnChain, RECHECK_MIN_MS, takeBack } from './booking.ts'
import type { Context } from './context.ts'
import type { Verification } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { ANNOUNCED_PER_PEER_MAX } from './options.ts'
import { toPayment } from './paying.ts'
import type { AnnouncedPayment, PaymentRecord } from './records.ts'
import { type PaymentSignature, parseSigned } from './signing.ts'

export interface Collecting {
  /** A payer says that it has paid. Resolves when the payment is booked or written down; throws why it never will be. */
  onPayment(caller: NodeId, payment: Payment, proof: PaymentSignature, signal: AbortSignal): Promise<void>
  resume(): void
  stop(): void
}

export function createCollecting(context: Context): Collecting {
  const { store, deps, options, background } = context
  const alarm = createAlarm(deps.clock, () => work())
  let isWorking = false

  const nextAtMs = () => {
    const times = [store.payments.nextAnnounced()?.nextTryMs, store.payments.nextRecheck()?.recheckMs]
    return times.filter((time) => time !== undefined).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  }
  const rearm = () => {
    const atMs = nextAtMs()
    if (!isWorking) alarm.set(Number.isFinite(atMs) ? atMs : undefined)
  }
  const nowMs = () => wholeMs(context)

  const work = () => {
    if (isWorking) return
    isWorking = true
    background.spawn('look at the chain', async (signal) => {
      try {
        while (!signal.aborted) {
          const announced = store.payments.nextAnnounced()
          const unsure = store.payments.nextRecheck()
          if (announced && announced.nextTryMs <= nowMs()) await retry(context, announced, signal)
          else if (unsure?.recheckMs !== undefined && unsure.recheckMs <= nowMs())
            await recheck(context, unsure, signal)
          else break
        }
      } finally {
        isWorking = false
        if (!signal.aborted) rearm()
      }
    })
  }

  return {
    onPayment: async (caller, payment, proof, signal) => {
      checkAnnouncement(context, caller, payment, proof)
      if (isBooked(context, payment, proof)) return
      if (await tryBook(context, payment, proof, signal, options.verifyPatienceMs)) {
        store.payments.dropAnnounced(payment.payeeId, payment.paymentId)
        return rearm()
      }
      const before = store.payments.announced(payment.payeeId, payment.paymentId)
      if (!before && store.payments.announcedBy(caller) >= ANNOUNCED_PER_PEER_MAX) {
        const message = `${ANNOUNCED_PER_PEER_MAX} payments of ${caller} wait for the chain already`
        throw new PaymentError('too-many', message, { caller })
      }
      const seen = { owner: payment.payeeId, id: payment.paymentId, peerId: caller, ...proof }
      const firstSeenMs = before?.firstSeenMs ?? nowMs()
      const { signature, signedBytes } = proof
      store.payments.announce({
        ...seen,
        ...{ signature, signedBytes, firstSeenMs },
        tries: before?.tries ?? 0,
        nextTryMs: nowMs() + options.announcedRetryMs,
      })
      rearm()
    },
    resume: () => work(),
    stop: () => alarm.set(undefined),
  }
}

/** Books the payment if the chain shows it. False: not yet. Throws `not-on-chain` when it never will. */
async function tryBook(
  context: Context,
  payment: Payment,
  proof: PaymentSignature,
  signal: AbortSignal,
  patienceMs = 0,
): Promise<boolean> {
  let seen: Verification
  try {
    seen = await look(context, payment, signal, patienceMs)
  } catch (error) {
    context.deps.logger.warn('the chain cannot be asked about a payment; trying again', { error: messageOf(error) })
    return false
  }
  if (seen.kind === 'pending') return false
  if (seen.kind === 'refused') throw notOnChain(payment, seen.reason, seen.message)
  context.store.transaction(() => book(context, payment, proof, seen))
  return true
}

/** Looks again for an announced payment that was not there yet. */
async function retry(context: Context, announced: AnnouncedPayment, signal: AbortSignal): Promise<void> {
  const { store, options, deps } = context
  const { logger } = deps
  const { owner, id, peerId } = announced
  const payment = parseSigned(announced.signedBytes)
  try {
    if (await tryBook(context, payment, announced, signal)) return store.payments.dropAnnounced(owner, id)
  } catch (error) {
    logger.error('an announced payment is not on the chain', { peerId, paymentId: id, error: messageOf(error) })
    return store.payments.dropAnnounced(owner, id)
  }
  if (signal.aborted) return
  if (wholeMs(context) - announced.firstSeenMs > options.announcedAgeMaxMs) {
    logger.error('an announced payment never came', { peerId, paymentId: id })
    return store.payments.dropAnnounced(owner, id)
  }
  const pauseMs = Math.min(options.announcedRetryMs * 2 ** Math.min(announced.tries, 30), options.announcedRetryMaxMs)
  const nextTryMs = wholeMs(context) + Math.round(pauseMs)
  store.payments.announce({ ...announced, tries: announced.tries + 1, nextTryMs })
}

/** Looks again at a booked payment that was not final. */
async function recheck(context: Context, record: PaymentRecord, signal: AbortSignal): Promise<void> {
  const { store, options, deps } = context
  const { owner, id } = record
  const later = (ms: number) => store.payments.setRecheck(owner, id, wholeMs(context) + Math.max(ms, RECHECK_MIN_MS))
  let seen: Verification
  try {
    seen = await look(context, toPayment(record), signal, 0)
  } catch {
    return signal.aborted ? undefined : later(options.announcedRetryMs)
  }
  if (seen.kind === 'confirmed')
    return seen.isFinal ? store.payments.setRecheck(owner, id, undefined) : later(seen.finalInMs)
  deps.logger.warn('a payment has vanished from the chain; it counts no more until it is back', { paymentId: id })
  store.transaction(() => takeBack(context, record, wholeMs(context) + options.announcedRetryMs))
}

const wholeMs = ({ deps }: Context): number => Math.round(deps.clock.nowMs())
