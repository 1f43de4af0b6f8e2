import type { FlatProperties } from './flatten.ts'
import { isJsonArray, isJsonObject, type JsonValue } from './json.ts'

/** A property's value as conditions see it. */
export type MatchValue = string | number | boolean | readonly MatchValue[]

/** Properties made ready for evaluating many conditions against them. */
export type PreparedProperties = {
  readonly flat: FlatProperties
  /** Only the properties that conditions can see. */
  readonly values: ReadonlyMap<string, MatchValue>
}

/** Prepares flat properties (see `flattenProperties`) for matching. */
export function prepareProperties(flat: FlatProperties): PreparedProperties {
  const values = new Map<string, MatchValue>()
  for (const [name, value] of Object.entries(flat)) {
    const seen = name.includes('=') ? undefined : matchValue(value)
    if (seen !== undefined) values.set(name, seen)
  }
  return { flat, values }
}

/**
 * A JSON value as the matcher sees it; undefined when it is invisible.
 *
 * Golem wire: the original writes each property as `name=<JSON>` and parses that text with a grammar of its own, which
 * has no null, no object, no empty text, no empty list, no text with escapes other than those of quote, backslash,
 * newline, tab and zero; and splits the name at the first `=`. Such properties are as good as absent.
 */
export function matchValue(value: JsonValue): MatchValue | undefined {
  if (typeof value === 'string') return isVisibleText(value) ? value : undefined
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (!isJsonArray(value) || isJsonObject(value) || value.length === 0) return undefined
  const items = value.map(matchValue)
  return items.every((item) => item !== undefined) ? items : undefined
}

// Control characters that JSON writes as \b, \f, \r or \u00XX.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPED_BY_JSON = /[\u0000-\u0008\u000b-\u001f]/

function isVisibleText(text: string): boolean {
  return text.length > 0 && !ESCAPED_BY_JSON.test(text) && text.isWellFormed()
}
