import {
  estimateCost,
  type FlatProperties,
  flattenProperties,
  type LinearPricing,
  pricingFromProperties,
  USAGE_CPU,
  USAGE_DURATION,
} from '@emet/core'
import type { RentSpec } from './types.ts'

/** An offer as far as choosing goes. */
export type OfferView = {
  readonly providerId: string
  readonly name: string
  readonly pricing: LinearPricing
  /** Wei for an hour of full use, the fixed price included. */
  readonly perHour: bigint
  readonly threads: number
  readonly flat: FlatProperties
}

/**
 * Reads an offer's properties. Undefined when it has no linear pricing, or one that could be negative: such an offer is
 * not for us.
 */
export function viewOffer(
  providerId: string,
  properties: Readonly<Record<string, unknown>>,
  spec: RentSpec,
): OfferView | undefined {
  try {
    const flat = flattenProperties(properties)
    const pricing = pricingFromProperties(flat)
    if (pricing.fixed < 0 || pricing.prices.some((price) => price < 0)) return undefined
    const threads = numberOf(flat, 'golem.inf.cpu.threads') ?? 1
    const name = flat['golem.node.id.name']
    return {
      providerId,
      name: typeof name === 'string' ? name : providerId.slice(0, 10),
      pricing,
      perHour: costOfUse(pricing, 3600, spec.threads ?? threads),
      threads,
      flat,
    }
  } catch {
    return undefined
  }
}

/** Wei for so many seconds with so many busy threads. */
export function costOfUse(pricing: LinearPricing, seconds: number, threads: number): bigint {
  return estimateCost(pricing, { [USAGE_DURATION]: seconds, [USAGE_CPU]: seconds * threads })
}

export function numberOf(flat: FlatProperties, name: string): number | undefined {
  const value = flat[name]
  return typeof value === 'number' ? value : undefined
}

/** The cheapest first; the provider's id decides between equals, so that the order is always the same. */
export function byPrice(a: OfferView, b: OfferView): number {
  if (a.perHour !== b.perHour) return a.perHour < b.perHour ? -1 : 1
  return a.providerId < b.providerId ? -1 : a.providerId > b.providerId ? 1 : 0
}
