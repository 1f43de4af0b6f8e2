/**
 * Money. Inside Emet an amount is a `bigint` in the token's smallest unit; on the wire it is a decimal text. Never a
 * float.
 */

/** Decimal places of GLM, and of ether. */
export const GLM_DECIMALS = 18

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/

/**
 * Parses a decimal text (or a JSON number) into smallest units.
 * Digits below the smallest unit must be zero. Returns undefined when `text` is not such a number.
 */
export function parseAmount(text: string | number, decimals = GLM_DECIMALS): bigint | undefined {
  const match = DECIMAL.exec(String(text))
  if (!match) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  if (whole.length + fraction.length === 0) return undefined
  const digits = whole + fraction
  const shift = decimals + Number(exponent) - fraction.length
  if (shift >= 0) return signed(sign, BigInt(digits) * 10n ** BigInt(shift))
  const divisor = 10n ** BigInt(-shift)
  const value = BigInt(digits)
  return value % divisor === 0n ? signed(sign, value / divisor) : undefined
}

/** The canonical decimal text: no exponent, no trailing zeros, `0` for nothing. */
export function formatAmount(amount: bigint, decimals = GLM_DECIMALS): string {
  const negative = amount < 0n
  const digits = (negative ? -amount : amount).toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return `${negative ? '-' : ''}${whole}${fraction ? `.${fraction}` : ''}`
}

function signed(sign: string, value: bigint): bigint {
  return sign === '-' ? -value : value
}
