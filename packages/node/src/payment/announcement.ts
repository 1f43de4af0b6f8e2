/** What can be known of an announced payment without asking the chain. */
import type { NodeId, Payment } from '@emet/core'
import { type Context, isOurs } from './context.ts'
import { PaymentError } from './errors.ts'
import { CONFIRMATION_BYTES_MAX, PAYMENT_SHARES_MAX, PEER_ID_LENGTH_MAX } from './options.ts'
import type { PaymentShare } from './records.ts'
import { checkSignature, type PaymentSignature } from './signing.ts'

/** Everything that can be known without the chain. */
export function checkAnnouncement(context: Context, caller: NodeId, payment: Payment, proof: PaymentSignature): void {
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
export function receivedShares(context: Context, payment: Payment): PaymentShare[] {
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
