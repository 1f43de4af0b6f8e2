/** Reading the texts of conditions, and texts in properties with a type suffix, as numbers, versions and times. */

const FLOAT = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const INFINITY = /^([+-]?)inf(?:inity)?$/i

/** A float as the original reads one: no spaces, no hexadecimal. Undefined when it is none, also for `nan`. */
export function parseFloatText(text: string): number | undefined {
  if (FLOAT.test(text)) return Number(text)
  const infinity = INFINITY.exec(text)
  if (!infinity) return undefined
  return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

/** A semantic version (2.0.0 of that specification). Build metadata plays no part in precedence and is dropped. */
export type Version = { readonly numbers: readonly bigint[]; readonly preRelease: readonly string[] }

/** Longest text taken for a version. */
export const VERSION_TEXT_LENGTH_MAX = 256

const NUMBER = '(0|[1-9]\\d*)'
const VERSION = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\\+([0-9A-Za-z.-]+))?$`)

export function parseVersion(text: string): Version | undefined {
  const match = text.length <= VERSION_TEXT_LENGTH_MAX ? VERSION.exec(text) : null
  if (!match) return undefined
  const [, major = '', minor = '', patch = '', preRelease, build] = match
  const names = preRelease?.split('.') ?? []
  const wellFormed = names.every(isPreReleaseName) && (build?.split('.').every((name) => name !== '') ?? true)
  return wellFormed ? { numbers: [major, minor, patch].map(BigInt), preRelease: names } : undefined
}

const isPreReleaseName = (name: string): boolean => name !== '' && !/^0\d+$/.test(name)

/** Negative, zero or positive by semver precedence: `1.0.0-rc.1` is below `1.0.0`. */
export function compareVersions(a: Version, b: Version): number {
  for (const [at, number] of a.numbers.entries()) {
    const other = b.numbers[at] ?? 0n
    if (number !== other) return number < other ? -1 : 1
  }
  if (a.preRelease.length === 0 || b.preRelease.length === 0) return b.preRelease.length - a.preRelease.length
  return comparePreReleases(a.preRelease, b.preRelease)
}

function comparePreReleases(a: readonly string[], b: readonly string[]): number {
  for (const [at, name] of a.entries()) {
    const other = b[at]
    if (other === undefined) return 1
    const difference = comparePreReleaseNames(name, other)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

function comparePreReleaseNames(a: string, b: string): number {
  const numeric = [a, b].map((name) => /^\d+$/.test(name))
  if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1
  if (numeric[0] && a.length !== b.length) return a.length - b.length
  return a < b ? -1 : a > b ? 1 : 0
}

const TIME = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})$/

/** RFC 3339 with its zone, as nanoseconds since the Unix epoch. */
export function parseTime(text: string): bigint | undefined {
  const match = TIME.exec(text)
  if (!match) return undefined
  const [, date, time, fraction = '', zone = 'Z'] = match
  const ms = Date.parse(`${date}T${time}${zone.toUpperCase()}`)
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}

/**
 * Whether `text` is matched by a pattern cut at its `*`: the first piece starts it, the last ends it, those between come
 * in order. Takes time linear in the text for each piece, however the pattern is made.
 */
export function matchesPieces(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  const end = text.length - last.length
  let at = first.length
  for (let index = 1; index < pieces.length - 1; index++) {
    const piece = pieces[index] ?? ''
    const found = text.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}
