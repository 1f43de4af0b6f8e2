/**
 * Collecting, the payee's side. A payer announces a payment with its signature; what counts is the chain. The transfer is
 * looked up through the driver and claimed for this payment in the transaction that books it, so that no transfer counts
 * twice. An announcement that the chain does not show yet is written down and looked up again; a payment that is not
 * final yet is looked up once more when it should be, and taken back if the chain has changed its mind.
 */
import { messageOf, type NodeId, type Payment, parseNodeId } from '@emet/core'
import { sha3_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { createAlarm } from './background.ts'
import { bookShares, settleAgreements } from './book.ts'
import { type Context, driverOf, isOurs } from './context.ts'
import type { ConfirmedTransfer, Verification } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { ANNOUNCED_PER_PEER_MAX, CONFIRMATION_BYTES_MAX, PAYMENT_SHARES_MAX, PEER_ID_LENGTH_MAX } from './options.ts'
import { toPayment } from './paying.ts'
import type { AnnouncedPayment, PaymentRecord, PaymentShare } from './records.ts'
import { checkSignature, type PaymentSignature, parseSigned } from './signing.ts'

export interface Collecting {
  /** A payer says that it has paid. Resolves when the payment is booked or written down; throws why it never will be. */
  onPayment(caller: NodeId, payment: Payment, proof: PaymentSignature, signal: AbortSignal): Promise<void>
  resume(): void
  stop(): void
}

/** Shortest pause before the chain is asked again about finality. */
const RECHECK_MIN_MS = 1_000

export function createCollecting(context: Context): Collecting {
  const { store, deps, options, background } = context
  const logger = deps.logger.child({ part: 'collecting' })
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
  const nowMs = () => Math.round(deps.clock.nowMs())
  const pauseMs = (tries: number) =>
    Math.round(Math.min(options.announcedRetryMs * 2 ** Math.min(tries, 30), options.announcedRetryMaxMs))

  /** Books the payment if the chain shows it. False: not yet. Throws `not-on-chain` when it never will. */
  const tryBook = async (payment: Payment, proof: PaymentSignature, signal: AbortSignal, patienceMs = 0) => {
    let seen: Verification
    try {
      seen = await look(context, payment, signal, patienceMs)
    } catch (error) {
      logger.warn('the chain cannot be asked about a payment; trying again', { error: messageOf(error) })
      return false
    }
    if (seen.kind === 'pending') return false
    if (seen.kind === 'refused') throw notOnChain(payment, seen.reason, seen.message)
    store.transaction(() => book(context, payment, proof, seen))
    rearm()
    return true
  }
  const retry = async (announced: AnnouncedPayment, signal: AbortSignal): Promise<void> => {
    const { owner, id, peerId } = announced
    const payment = parseSigned(announced.signedBytes)
    try {
      if (await tryBook(payment, announced, signal)) return store.payments.dropAnnounced(owner, id)
    } catch (error) {
      logger.error('an announced payment is not on the chain', { peerId, paymentId: id, error: messageOf(error) })
      return store.payments.dropAnnounced(owner, id)
    }
    if (signal.aborted) return
    if (nowMs() - announced.firstSeenMs > options.announcedAgeMaxMs) {
      logger.error('an announced payment never came', { peerId, paymentId: id })
      return store.payments.dropAnnounced(owner, id)
    }
    store.payments.announce({ ...announced, tries: announced.tries + 1, nextTryMs: nowMs() + pauseMs(announced.tries) })
  }
  /** Looks again at a booked payment that was not final. */
  const recheck = async (record: PaymentRecord, signal: AbortSignal): Promise<void> => {
    const { owner, id } = record
    const later = (ms: number) => store.payments.setRecheck(owner, id, nowMs() + Math.max(ms, RECHECK_MIN_MS))
    let seen: Verification
    try {
      seen = await look(context, toPayment(record), signal, 0)
    } catch {
      return signal.aborted ? undefined : later(options.announcedRetryMs)
    }
    if (seen.kind === 'confirmed')
      return seen.isFinal ? store.payments.setRecheck(owner, id, undefined) : later(seen.finalInMs)
    logger.warn('a payment has vanished from the chain; it counts no more until it is back', { paymentId: id })
    store.transaction(() => takeBack(context, record, nowMs() + options.announcedRetryMs))
  }

  const work = () => {
    if (isWorking) return
    isWorking = true
    background.spawn('look at the chain', async (signal) => {
      try {
        while (!signal.aborted) {
          const announced = store.payments.nextAnnounced()
          const unsure = store.payments.nextRecheck()
          if (announced && announced.nextTryMs <= nowMs()) await retry(announced, signal)
          else if (unsure?.recheckMs !== undefined && unsure.recheckMs <= nowMs()) await recheck(unsure, signal)
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
      if (await tryBook(payment, proof, signal, options.verifyPatienceMs)) {
        return store.payments.dropAnnounced(payment.payeeId, payment.paymentId)
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

function look(context: Context, payment: Payment, signal: AbortSignal, patienceMs: number): Promise<Verification> {
  const [payer, payee] = [parseNodeId(payment.payerAddr), parseNodeId(payment.payeeAddr)]
  if (!payer || !payee) throw new PaymentError('wrong-address', `payment ${payment.paymentId} names no addresses`)
  const request = {
    ...{ payer, payee },
    confirmation: payment.details,
    platform: payment.paymentPlatform,
    amountWei: payment.amount,
    paymentId: claimId(payment),
  }
  return driverOf(context, payment.paymentPlatform).verify(request, { signal, patienceMs })
}

/** Names a claim on a transfer: of this payee, for this payer's payment. Another payer's ids cannot collide. */
function claimId({ payeeId, payerId, paymentId }: Pick<Payment, 'payeeId' | 'payerId' | 'paymentId'>): string {
  return bytesToHex(sha3_256(utf8ToBytes(`${payeeId} ${payerId} ${paymentId}`)))
}

/** Everything that can be known without the chain. */
function checkAnnouncement(context: Context, caller: NodeId, payment: Payment, proof: PaymentSignature): void {
  const { paymentId, payerId, payeeId } = payment
  if (paymentId.length === 0 || paymentId.length > PEER_ID_LENGTH_MAX) {
    throw new PaymentError('bad-request', `paymentId: not 1 to ${PEER_ID_LENGTH_MAX} characters`)
  }
  if (caller !== payerId) {
    throw new PaymentError('wrong-party', `payment ${paymentId} of ${payerId} came from ${caller}`, {
      paymentId,
      caller,
    })
  }
  if (!isOurs(context, payeeId)) {
    throw new PaymentError('wrong-party', `payment ${paymentId} is for ${payeeId}, which is not here`, { paymentId })
  }
  if (payment.details.length === 0 || payment.details.length > CONFIRMATION_BYTES_MAX) {
    throw new PaymentError('bad-request', `details: not 1 to ${CONFIRMATION_BYTES_MAX} bytes`, { paymentId })
  }
  checkSignature(context.deps.signer, payment, proof)
  const shares = receivedShares(context, payment)
  const sum = shares.reduce((total, { amountWei }) => total + amountWei, 0n)
  if (shares.length === 0 || sum > payment.amount || shares.some(({ amountWei }) => amountWei <= 0n)) {
    const message = `payment ${paymentId}: its shares must each be more than zero, and together no more than the payment`
    throw new PaymentError('bad-shares', message, { paymentId })
  }
}

/** What the payment pays of ours. Throws when any of it is not between payer and payee, on these terms. */
function receivedShares(context: Context, payment: Payment): PaymentShare[] {
  const { agreementPayments, activityPayments, payeeId: owner, paymentId } = payment
  if (agreementPayments.length + activityPayments.length > PAYMENT_SHARES_MAX) {
    throw new PaymentError('bad-shares', `payment ${paymentId} has more than ${PAYMENT_SHARES_MAX} shares`, {
      paymentId,
    })
  }
  const shares = [
    ...agreementPayments.map(({ agreementId, amount }) => ({ agreementId, activityId: undefined, amountWei: amount })),
    ...activityPayments.map(({ activityId, amount }) => {
      const activity = context.store.totals.activity(owner, 'provider', activityId)
      if (activity) return { agreementId: activity.agreementId, activityId, amountWei: amount }
      throw new PaymentError('foreign-activity', `payment ${paymentId} is for unknown activity ${activityId}`, {
        paymentId,
      })
    }),
  ]
  for (const { agreementId } of shares) checkTerms(context, payment, agreementId)
  return shares.map((share) => ({ ...share, allocationId: undefined }))
}

function checkTerms({ store }: Context, payment: Payment, agreementId: string): void {
  const { paymentId, payeeId, payerId, paymentPlatform, payeeAddr, payerAddr } = payment
  const agreement = store.totals.agreement(payeeId, 'provider', agreementId)
  if (!agreement || agreement.peerId !== payerId) {
    const message = `payment ${paymentId}: ${payeeId} has no agreement ${agreementId} with ${payerId}`
    throw new PaymentError('foreign-agreement', message, { paymentId, agreementId })
  }
  if (agreement.platform !== paymentPlatform) {
    const message = `payment ${paymentId} is on ${paymentPlatform}; agreed was ${agreement.platform}`
    throw new PaymentError('wrong-platform', message, { paymentId, agreementId })
  }
  if (agreement.payeeAddr !== payeeAddr.toLowerCase() || agreement.payerAddr !== payerAddr.toLowerCase()) {
    const message = `payment ${paymentId} is from ${payerAddr} to ${payeeAddr}; agreed was ${agreement.payerAddr} to ${agreement.payeeAddr}`
    throw new PaymentError('wrong-address', message, { paymentId, agreementId })
  }
}

/** True when this very payment was booked before; throws when its id stands for another. */
function isBooked({ store }: Context, payment: Payment, { signedBytes }: PaymentSignature): boolean {
  const before = store.payments.get(payment.payeeId, 'provider', payment.paymentId)
  if (!before) return false
  if (before.signedBytes && bytesToHex(before.signedBytes) === bytesToHex(signedBytes)) return true
  const message = `payment ${payment.paymentId} was received before with other contents`
  throw new PaymentError('conflict', message, { paymentId: payment.paymentId })
}

/** Claims the transfer and books the payment. Inside a transaction. */
function book(context: Context, payment: Payment, proof: PaymentSignature, transfer: ConfirmedTransfer): void {
  const { store, deps, feed } = context
  if (isBooked(context, payment, proof)) return
  try {
    driverOf(context, payment.paymentPlatform).claim({
      paymentId: claimId(payment),
      amountWei: payment.amount,
      transfer,
    })
  } catch (cause) {
    throw notOnChain(payment, 'already-claimed', messageOf(cause))
  }
  const owner = payment.payeeId
  const shares = receivedShares(context, payment)
  store.payments.insert({
    ...{ owner, shares, payerId: payment.payerId, payeeId: payment.payeeId },
    role: 'provider',
    id: payment.paymentId,
    payerAddr: transfer.payer,
    payeeAddr: transfer.payee,
    platform: payment.paymentPlatform,
    amountWei: payment.amount,
    timestampUs: payment.timestamp,
    recordedUs: feed.tick(),
    confirmation: payment.details,
    signature: proof.signature,
    signedBytes: proof.signedBytes,
    recheckMs: transfer.isFinal
      ? undefined
      : Math.round(deps.clock.nowMs() + Math.max(transfer.finalInMs, RECHECK_MIN_MS)),
  })
  bookShares(context, owner, 'provider', 'paidWei', shares)
  settleAgreements(
    context,
    owner,
    'provider',
    shares.map(({ agreementId }) => agreementId),
  )
  feed.wake()
}

/** Undoes `book`, and waits for the payment anew. Inside a transaction. */
function takeBack(context: Context, record: PaymentRecord, nextTryMs: number): void {
  const { store, deps } = context
  const { owner, id, payerId, payeeId, signature, signedBytes, shares, platform } = record
  driverOf(context, platform).release(claimId({ payeeId, payerId, paymentId: id }))
  bookShares(context, owner, 'provider', 'paidWei', shares, -1n)
  store.payments.remove(owner, 'provider', id)
  settleAgreements(
    context,
    owner,
    'provider',
    shares.map(({ agreementId }) => agreementId),
  )
  if (!signature || !signedBytes) return
  const firstSeenMs = Math.round(deps.clock.nowMs())
  store.payments.announce({ owner, id, peerId: payerId, signature, signedBytes, firstSeenMs, tries: 0, nextTryMs })
}

function notOnChain(payment: Payment, reason: string, text: string): PaymentError {
  const message = `payment ${payment.paymentId} is not on the chain as claimed: ${text}`
  return new PaymentError('not-on-chain', message, { paymentId: payment.paymentId, reason })
}
