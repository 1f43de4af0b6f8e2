import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addDecimals, compareDecimals, multiplyDecimals, parseDecimal, roundDecimal } from './decimal.ts'

const decimal = fc.record({ units: fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), scale: fc.nat(30) })

test('adding and multiplying commute', () => {
  fc.assert(
    fc.property(decimal, decimal, (a, b) => {
      expect(compareDecimals(addDecimals(a, b), addDecimals(b, a))).toBe(0)
      expect(compareDecimals(multiplyDecimals(a, b), multiplyDecimals(b, a))).toBe(0)
    }),
  )
})

test('rounding moves a number by at most half a unit', () => {
  fc.assert(
    fc.property(decimal, fc.nat(30), (value, scale) => {
      const rounded = { units: roundDecimal(value, scale), scale }
      const off = addDecimals(rounded, { units: -value.units, scale: value.scale })
      const distance = { units: off.units < 0n ? -off.units : off.units, scale: off.scale }
      expect(compareDecimals(distance, { units: 5n, scale: scale + 1 })).toBeLessThanOrEqual(0)
    }),
  )
})

test('the printed form of a float is read as what it says', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e20, max: 1e20 }), (value) => {
      const { units, scale } = parseDecimal(value.toExponential(15))!
      expect(Number(`${units}e-${scale}`)).toBe(Number(value.toExponential(15)) || 0)
    }),
  )
})
