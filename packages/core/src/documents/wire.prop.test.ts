import fc from 'fast-check'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { amountSchema, base64Schema, byteArraySchema, instantSchema, maybe, nullable } from './wire.ts'

const roundTrip = <S extends z.ZodType>(schema: S, value: z.output<S>) =>
  schema.parse(JSON.parse(JSON.stringify(z.encode(schema, value) ?? null)))

it('amounts, instants and bytes come back as they went out', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 256n), max: 2n ** 256n }),
      fc.integer({ min: 0, max: 8_000_000_000_000_000 }),
      fc.uint8Array({ maxLength: 1000 }),
      (amount, instant, bytes) => {
        expect(roundTrip(amountSchema, amount)).toBe(amount)
        expect(roundTrip(instantSchema, instant)).toBe(instant)
        expect(roundTrip(byteArraySchema, bytes)).toEqual(bytes)
        expect(roundTrip(base64Schema, bytes)).toEqual(bytes)
        expect(roundTrip(maybe(amountSchema), amount)).toBe(amount)
        expect(roundTrip(nullable(instantSchema), instant)).toBe(instant)
      },
    ),
  )
})

it('printed instants sort as the instants do', () => {
  const instant = fc.integer({ min: 0, max: 8_000_000_000_000_000 })
  fc.assert(
    fc.property(instant, instant, (a, b) => {
      expect(z.encode(instantSchema, a) < z.encode(instantSchema, b)).toBe(a < b)
    }),
  )
})

it('no JSON makes a parser throw anything but its own refusal', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const schema of [amountSchema, instantSchema, base64Schema, byteArraySchema]) schema.safeParse(value)
    }),
  )
})
