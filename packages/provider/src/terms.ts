import { type Agreement, type FlatProperties, type LinearPricing, pricingFromProperties } from '@emet/core'
import { ACCEPT_TIMEOUT, DEBIT_NOTE_INTERVAL, EXPIRATION, PAYMENT_TIMEOUT } from './negotiation/components.ts'

/** What was agreed, as the bookkeeping needs it. */
export type Terms = {
  readonly runtime: string
  readonly pricing: LinearPricing
  readonly expirationMs: number
  readonly debitNoteIntervalSec: number
  readonly paymentTimeoutSec: number | undefined
  readonly acceptTimeoutSec: number | undefined
  /** Several activities one after the other; else the first one's end closes the agreement. */
  readonly allowsManyActivities: boolean
}

/** The pace of debit notes when none was agreed. */
const DEFAULT_DEBIT_NOTE_INTERVAL_SEC = 120

/** Throws `PricingError` when the offer has no usable price; we never publish such a one. */
export function readTerms({ demand, offer }: Pick<Agreement, 'demand' | 'offer'>): Terms {
  const agreed = (name: string): number | undefined => {
    const value = offer.properties[name]
    return typeof value === 'number' ? value : undefined
  }
  return {
    runtime: String(offer.properties['golem.runtime.name']),
    pricing: pricingFromProperties(offer.properties as FlatProperties),
    expirationMs: Number(demand.properties[EXPIRATION]),
    debitNoteIntervalSec: agreed(DEBIT_NOTE_INTERVAL) ?? DEFAULT_DEBIT_NOTE_INTERVAL_SEC,
    paymentTimeoutSec: agreed(PAYMENT_TIMEOUT),
    acceptTimeoutSec: agreed(ACCEPT_TIMEOUT),
    allowsManyActivities: demand.properties['golem.srv.caps.multi-activity'] === true,
  }
}
