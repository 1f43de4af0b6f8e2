import {
  type FlatProperties,
  flattenProperties,
  type JsonValue,
  type PreparedProperties,
  prepareProperties,
} from '../properties/index.ts'
import { type CompiledConstraints, compileConstraints, type FailedCondition } from './compile.ts'
import type { Truth } from './condition.ts'

/** An offer or a demand, ready to be matched. */
export type Matchable = { readonly properties: PreparedProperties; readonly constraints: CompiledConstraints }

/** Makes an offer or a demand ready for matching. Throws `PropertiesError` or `ConstraintsError`. */
export function prepareMatchable(content: {
  readonly properties: Readonly<Record<string, unknown>>
  readonly constraints: string
}): Matchable {
  return {
    properties: prepareProperties(flattenProperties(content.properties)),
    constraints: compileConstraints(content.constraints),
  }
}

/**
 * Whether offer and demand fit: each side's constraints hold for the other's properties. Undefined when it cannot be told,
 * which counts as no match. The quick form, for many offers; `matchOffer` says why.
 */
export function isMatch(offer: Matchable, demand: Matchable): Truth {
  const offerFits = demand.constraints.evaluate(offer.properties)
  if (offerFits === false) return false
  const demandFits = offer.constraints.evaluate(demand.properties)
  if (demandFits === false) return false
  return offerFits === undefined || demandFits === undefined ? undefined : true
}

/** Whose condition was not met, which, and what the other side has instead. */
export type MismatchReason = FailedCondition & {
  /** The side that asks for it: `demand` conditions are on the offer's properties. */
  readonly side: 'offer' | 'demand'
  /** The other side's value, when it has one. */
  readonly actual?: JsonValue
}

export type MatchResult = { readonly matches: Truth; readonly reasons: readonly MismatchReason[] }

/** As `isMatch`, with every condition that stands in the way. */
export function matchOffer(offer: Matchable, demand: Matchable): MatchResult {
  const matches = isMatch(offer, demand)
  if (matches === true) return { matches, reasons: [] }
  return { matches, reasons: [...reasonsOf('demand', demand, offer), ...reasonsOf('offer', offer, demand)] }
}

function reasonsOf(side: 'offer' | 'demand', asking: Matchable, asked: Matchable): MismatchReason[] {
  return asking.constraints
    .explain(asked.properties)
    .map((failed) => ({ side, ...failed, ...actualOf(asked.properties.flat, failed.property) }))
}

function actualOf(flat: FlatProperties, name: string | undefined): { actual?: JsonValue } {
  const actual = name !== undefined && Object.hasOwn(flat, name) ? flat[name] : undefined
  return actual === undefined ? {} : { actual }
}
