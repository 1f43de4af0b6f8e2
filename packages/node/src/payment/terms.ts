/**
 * The terms of payment of an agreement. Golem market: the platform is the demand's
 * `golem.com.payment.chosen-platform`; addresses are `golem.com.payment.platform.<platform>.address` of each side, or the
 * party's node id where it is not given.
 */
import { type NodeId, parseNodeId } from '@emet/core'
import { PaymentError } from './errors.ts'
import type { AgreementFacts } from './types.ts'

export type Terms = { readonly platform: string; readonly payeeAddr: NodeId; readonly payerAddr: NodeId }

const CHOSEN_PLATFORM = 'golem.com.payment.chosen-platform'

/** Throws `PaymentError` `bad-platform` or `wrong-address` when the agreement does not say how to pay. */
export function termsOf(agreement: AgreementFacts): Terms {
  const platform = agreement.demandProperties[CHOSEN_PLATFORM]
  if (typeof platform !== 'string' || platform === '') {
    const message = `agreement ${agreement.agreementId} names no payment platform (${CHOSEN_PLATFORM})`
    throw new PaymentError('bad-platform', message, { agreementId: agreement.agreementId })
  }
  return {
    platform,
    payeeAddr: addressIn(agreement.offerProperties, platform, agreement.providerId),
    payerAddr: addressIn(agreement.demandProperties, platform, agreement.requestorId),
  }
}

function addressIn(properties: Readonly<Record<string, unknown>>, platform: string, fallback: NodeId): NodeId {
  const key = `golem.com.payment.platform.${platform}.address`
  const value = properties[key]
  if (value === undefined || value === null || value === '') return fallback
  const address = typeof value === 'string' ? parseNodeId(value) : undefined
  if (address === undefined) {
    throw new PaymentError('wrong-address', `the property ${key} is no address: ${JSON.stringify(value)}`, { key })
  }
  return address
}

/** States in which money may be asked for: work has been agreed on, and may be over. */
const BILLABLE: readonly AgreementFacts['state'][] = ['Approved', 'Terminated', 'Expired']

/** Checks that the agreement was concluded, and that `provider` and `requestor` are its parties. */
export function checkParties(agreement: AgreementFacts, parties: { provider: NodeId; requestor: NodeId }): void {
  const { agreementId, providerId, requestorId, state } = agreement
  if (providerId !== parties.provider || requestorId !== parties.requestor) {
    const message = `agreement ${agreementId} is not between provider ${parties.provider} and requestor ${parties.requestor}`
    throw new PaymentError('wrong-party', message, { agreementId, ...parties })
  }
  if (!BILLABLE.includes(state)) {
    throw new PaymentError('wrong-state', `agreement ${agreementId} is ${state}: nothing is due`, {
      agreementId,
      state,
    })
  }
}
