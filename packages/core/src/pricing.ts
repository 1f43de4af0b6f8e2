/**
 * The linear pricing model: a fixed start price per activity, and a price per unit of each usage counter.
 *
 * Golem wire: `cost = coeffs[n] + sum(usage[i] * coeffs[i])`, each float taken at 16 significant digits, all else exact,
 * the result rounded to 18 decimals. Both sides must come to the same wei.
 */

import { GLM_DECIMALS } from './amount.ts'
import { addDecimals, type Decimal, multiplyDecimals, parseDecimal, roundDecimal } from './decimal.ts'
import { CodedError } from './errors.ts'
import { type FlatProperties, isJsonArray, type JsonValue } from './properties/index.ts'

/** Most usage counters in one pricing. */
export const USAGE_COUNTERS_MAX = 64

/** Usage counters every Emet runtime measures. Golem wire names. */
export const USAGE_DURATION = 'golem.usage.duration_sec'
export const USAGE_CPU = 'golem.usage.cpu_sec'

export type PricingErrorCode = 'unknown-model' | 'bad-coefficients' | 'bad-counters' | 'bad-usage'

/** A pricing that cannot be understood, or usage that does not fit it. */
export class PricingError extends CodedError<PricingErrorCode> {}

/** Prices in GLM. `prices[i]` is for one unit of `counters[i]`; `fixed` is charged once per activity. */
export type LinearPricing = {
  readonly counters: readonly string[]
  readonly prices: readonly number[]
  readonly fixed: number
}

/** Usage in the order of the pricing's counters. */
export type UsageVector = readonly number[]

const MODEL = 'golem.com.pricing.model'
const COEFFICIENTS = 'golem.com.pricing.model.linear.coeffs'
const COUNTERS = 'golem.com.usage.vector'

/** Reads the pricing out of flat offer properties. Throws `PricingError` naming the property. */
export function pricingFromProperties(offer: FlatProperties): LinearPricing {
  if (offer[MODEL] !== 'linear') {
    throw new PricingError('unknown-model', `${MODEL} is ${JSON.stringify(offer[MODEL])}, only "linear" is known`)
  }
  const counters = listOf(offer[COUNTERS], (item) => typeof item === 'string')
  if (!counters || counters.length > USAGE_COUNTERS_MAX) {
    throw new PricingError('bad-counters', `${COUNTERS} must be a list of at most ${USAGE_COUNTERS_MAX} names`)
  }
  const coefficients = listOf(offer[COEFFICIENTS], (item) => typeof item === 'number' && Number.isFinite(item))
  if (coefficients?.length !== counters.length + 1) {
    throw new PricingError('bad-coefficients', `${COEFFICIENTS} must be ${counters.length + 1} numbers`)
  }
  const prices = coefficients as readonly number[]
  return { counters: counters as readonly string[], prices: prices.slice(0, -1), fixed: prices.at(-1) ?? 0 }
}

/** The properties that say this pricing in an offer. */
export function pricingToProperties(pricing: LinearPricing): FlatProperties {
  return {
    [MODEL]: 'linear',
    [COEFFICIENTS]: [...pricing.prices, pricing.fixed],
    [COUNTERS]: [...pricing.counters],
  }
}

function listOf(value: JsonValue | undefined, test: (item: JsonValue) => boolean): readonly JsonValue[] | undefined {
  return isJsonArray(value) && value.every(test) ? value : undefined
}

/** What one activity with this usage costs, in wei. Throws `PricingError` when the usage does not fit. */
export function linearCost(pricing: LinearPricing, usage: UsageVector): bigint {
  if (usage.length !== pricing.prices.length) {
    throw new PricingError(
      'bad-usage',
      `usage has ${usage.length} counters, the pricing has ${pricing.prices.length}`,
      { usage: usage.slice(0, USAGE_COUNTERS_MAX), counters: pricing.counters },
    )
  }
  const parts = usage.map((amount, at) => multiplyDecimals(floatDecimal(amount), floatDecimal(pricing.prices[at] ?? 0)))
  return roundDecimal(parts.reduce(addDecimals, floatDecimal(pricing.fixed)), GLM_DECIMALS)
}

/** What one activity would cost with usage given by counter name; counters left out count as zero. In wei. */
export function estimateCost(pricing: LinearPricing, usage: Readonly<Record<string, number>>): bigint {
  return linearCost(
    pricing,
    pricing.counters.map((counter) => usage[counter] ?? 0),
  )
}

function floatDecimal(value: number): Decimal {
  const decimal = Number.isFinite(value) ? parseDecimal(value.toExponential(15)) : undefined
  if (!decimal) throw new PricingError('bad-usage', `not a finite number: ${value}`, { value })
  return decimal
}
