/** Golem wire: payments are signed over their canonical JSON (RFC 8785), so that both sides hash the same bytes. */

/** JSON without functions, undefined or NaN. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

/**
 * RFC 8785 text: no white space, keys sorted by UTF-16 code units, numbers and strings as ECMAScript writes them. Keys
 * without a value are left out. Throws `TypeError` for a number that is not finite or a text with a lone surrogate.
 */
export function canonicalJson(value: Json): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('canonical JSON has no such number')
  if (typeof value === 'string' && !value.isWellFormed()) throw new TypeError('canonical JSON needs well-formed text')
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${canonicalJson(key)}:${canonicalJson(value[key] ?? null)}`)
  return `{${members.join(',')}}`
}

const isArray = (value: Json): value is readonly Json[] => Array.isArray(value)
