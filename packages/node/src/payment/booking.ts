/** Booking a received payment against what the chain shows, and taking it back. */
import { messageOf, type Payment, parseNodeId } from '@emet/core'
import { sha3_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { receivedShares } from './announcement.ts'
import { bookShares, settleAgreements } from './book.ts'
import { type Context, driverOf } from './context.ts'
import type { ConfirmedTransfer, Verification } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import type { PaymentRecord } from './records.ts'
import type { PaymentSignature } from './signing.ts'

/** Shortest pause before the chain is asked again about finality. */
export const RECHECK_MIN_MS = 1_000

/** Asks the chain about a payment. Throws when it cannot be asked. */
export function look(
  context: Context,
  payment: Payment,
  signal: AbortSignal,
  patienceMs: number,
): Promise<Verification> {
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

/** True when this very payment was booked before; throws when its id stands for another. */
export function isBooked({ store }: Context, payment: Payment, { signedBytes }: PaymentSignature): boolean {
  const before = store.payments.get(payment.payeeId, 'provider', payment.paymentId)
  if (!before) return false
  if (before.signedBytes && bytesToHex(before.signedBytes) === bytesToHex(signedBytes)) return true
  const message = `payment ${payment.paymentId} was received before with other contents`
  throw new PaymentError('conflict', message, { paymentId: payment.paymentId })
}

/** Claims the transfer and books the payment. Inside a transaction. */
export function book(context: Context, payment: Payment, proof: PaymentSignature, transfer: ConfirmedTransfer): void {
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
export function takeBack(context: Context, record: PaymentRecord, nextTryMs: number): void {
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

/** The chain says otherwise. */
export function notOnChain(payment: Payment, reason: string, text: string): PaymentError {
  const message = `payment ${payment.paymentId} is not on the chain as claimed: ${text}`
  return new PaymentError('not-on-chain', message, { paymentId: payment.paymentId, reason })
}
