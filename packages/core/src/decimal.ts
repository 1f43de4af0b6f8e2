/** Exact decimal numbers: `units` / 10^`scale`. Used where floats would lose digits; money itself is `bigint` wei. */
export type Decimal = { readonly units: bigint; readonly scale: number }

/** Longest decimal text taken, in characters. */
export const DECIMAL_TEXT_LENGTH_MAX = 400

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/

/** Parses `-1.5`, `.5`, `1e-7`. Exponents have three digits at most. Undefined when it is not such a number. */
export function parseDecimal(text: string): Decimal | undefined {
  if (text.length > DECIMAL_TEXT_LENGTH_MAX) return undefined
  const match = DECIMAL.exec(text)
  if (!match) return undefined
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  if (whole.length + fraction.length === 0) return undefined
  const magnitude = BigInt(whole + fraction)
  const units = sign === '-' ? -magnitude : magnitude
  const scale = fraction.length - Number(exponent)
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 }
}

export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale)
  return { units: unitsAt(a, scale) + unitsAt(b, scale), scale }
}

export function multiplyDecimals(a: Decimal, b: Decimal): Decimal {
  return { units: a.units * b.units, scale: a.scale + b.scale }
}

/** Negative, zero or positive, as `a` is below, equal to or above `b`. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale)
  const difference = unitsAt(a, scale) - unitsAt(b, scale)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

/** The number in units of 10^-`scale`, rounded half away from zero. */
export function roundDecimal(value: Decimal, scale: number): bigint {
  if (value.scale <= scale) return unitsAt(value, scale)
  const divisor = 10n ** BigInt(value.scale - scale)
  const half = divisor / 2n
  return value.units < 0n ? (value.units - half) / divisor : (value.units + half) / divisor
}

function unitsAt(value: Decimal, scale: number): bigint {
  return value.units * 10n ** BigInt(scale - value.scale)
}
