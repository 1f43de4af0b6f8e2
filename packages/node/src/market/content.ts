import {
  ConstraintsError,
  type FlatProperties,
  flattenProperties,
  isMatch,
  isSubscriptionIdOf,
  type Matchable,
  matchOffer,
  messageOf,
  PropertiesError,
  parsePropertiesText,
  parseSubscriptionId,
  prepareMatchable,
  propertiesText,
} from '@emet/core'
import { MarketError } from './errors.ts'
import { CONSTRAINTS_BYTES_MAX, PROPERTIES_BYTES_MAX } from './limits.ts'
import type { Content, Draft, Publication } from './types.ts'

/** Content parsed once, to be matched many times. */
export type CompiledContent = Matchable

/** What an agent posted, in the form that is hashed, stored and sent. Throws `bad-content`. */
export function contentOf(draft: Draft): Content {
  const properties = propertiesText(readable('properties', () => flattenProperties(draft.properties)))
  const content = { properties, constraints: draft.constraints }
  checkSize('properties', properties, PROPERTIES_BYTES_MAX)
  checkSize('constraints', draft.constraints, CONSTRAINTS_BYTES_MAX)
  compileContent(content)
  return content
}

/** Parses properties and constraints. Throws `bad-content`. */
export function compileContent(content: Content): CompiledContent {
  const { constraints } = content
  return readable('content', () =>
    prepareMatchable({ properties: parsePropertiesText(content.properties), constraints }),
  )
}

/** The flat properties of stored content. */
export function propertiesOf(content: Pick<Content, 'properties'>): FlatProperties {
  return readable('properties', () => parsePropertiesText(content.properties))
}

/**
 * Why an offer does not do for a demand: the first condition that is not met, and whose it is. Undefined when they match.
 * Of a scan only the constraints on the offer count.
 */
export function mismatchOf(
  demand: CompiledContent,
  offer: CompiledContent,
  kind: 'demand' | 'scan',
): string | undefined {
  if (isSuited(demand, offer, kind)) return undefined
  const reasons =
    kind === 'demand'
      ? matchOffer(offer, demand).reasons
      : demand.constraints.explain(offer.properties).map((reason) => ({ ...reason, side: 'demand' as const }))
  const [first] = reasons
  return first ? `${first.side}: ${first.condition} ${first.problem}` : 'no match'
}

/** The quick form of `mismatchOf`. */
export function isSuited(demand: CompiledContent, offer: CompiledContent, kind: 'demand' | 'scan'): boolean {
  return kind === 'demand' ? isMatch(offer, demand) === true : demand.constraints.evaluate(offer.properties) === true
}

/** Whether a publication's id is the hash of its content. */
export function hashIsRight(publication: Publication): boolean {
  const id = parseSubscriptionId(publication.id)
  return id !== undefined && isSubscriptionIdOf(id, hashedContent(publication))
}

/** What a subscription id is made over. */
export function hashedContent(publication: Omit<Publication, 'id'>) {
  return {
    properties: publication.properties,
    constraints: publication.constraints,
    nodeId: publication.nodeId,
    createdAt: publication.creationTs,
    expiresAt: publication.expirationTs,
  }
}

function readable<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof PropertiesError) && !(cause instanceof ConstraintsError)) throw cause
    throw new MarketError('bad-content', `${what} cannot be read: ${messageOf(cause)}`, cause.facts, { cause })
  }
}

function checkSize(field: string, text: string, max: number): void {
  const size = Buffer.byteLength(text)
  if (size <= max) return
  throw new MarketError('bad-content', `${field} take ${size} bytes, at most ${max} are allowed`, { field, size, max })
}
