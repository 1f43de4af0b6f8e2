/**
 * The scalars of wire documents. Each is a codec: `schema.parse(json)` (or `decode`) turns wire text into what the code
 * works with, `z.encode(schema, value)` turns it back.
 *
 * Input is lenient: unknown keys are dropped, an optional field may be absent or null, money may be text or a number.
 * Output is exact: money as canonical decimal text, instants as RFC 3339, absent fields left out.
 */
import { z } from 'zod'
import { formatAmount, parseAmount } from '../amount.ts'
import { formatInstant, formatNaiveInstant, type InstantUs, parseInstant } from '../instant.ts'

/** Longest decimal text taken for an amount: 78 digits hold any uint256, the rest is sign, point and zeros. */
export const AMOUNT_TEXT_LENGTH_MAX = 120

/** Longest text taken for an id, a name or another short field of a document. */
export const SHORT_TEXT_LENGTH_MAX = 1024

/** An amount of the token: decimal text (or a JSON number) on the wire, `bigint` in the smallest unit inside. */
export const amountSchema = z
  .codec(z.union([z.string().max(AMOUNT_TEXT_LENGTH_MAX), z.number()]), z.bigint(), {
    decode: (text, context) => {
      const amount = parseAmount(text)
      if (amount !== undefined) return amount
      context.issues.push({
        code: 'custom',
        input: text,
        message: `not a decimal amount with at most 18 decimals: ${JSON.stringify(text)}`,
      })
      return z.NEVER
    },
    encode: (amount) => formatAmount(amount),
  })
  .meta({ wire: { type: 'string', format: 'decimal', description: 'Decimal text, e.g. "0.25"' } })

function instantCodec(format: (instant: InstantUs) => string) {
  return z.codec(z.string().max(64), z.number(), {
    decode: (text, context): InstantUs => {
      const instant = parseInstant(text)
      if (instant !== undefined) return instant
      context.issues.push({
        code: 'custom',
        input: text,
        message: `not an RFC 3339 date and time: ${JSON.stringify(text)}`,
      })
      return z.NEVER
    },
    encode: format,
  })
}

/** An instant: RFC 3339 text on the wire, microseconds since the epoch inside. */
export const instantSchema = instantCodec(formatInstant).meta({ wire: { type: 'string', format: 'date-time' } })

/** The same without a zone (UTC is meant), as a few documents have it. */
export const naiveInstantSchema = instantCodec(formatNaiveInstant).meta({
  wire: { type: 'string', description: 'Date and time in UTC without a zone, e.g. 2026-11-23T08:15:00.000250' },
})

const isByte = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255
/** One check for all of them: output of programs comes as such arrays, and a schema for each element is slow. */
const byteValuesSchema = z.custom<number[]>(
  (value) => Array.isArray(value) && value.every(isByte),
  'expected an array of integers from 0 to 255',
)

/** Bytes as a JSON array of numbers. */
export const byteArraySchema = z
  .codec(byteValuesSchema, z.instanceof(Uint8Array), {
    decode: (numbers) => Uint8Array.from(numbers),
    encode: (bytes) => Array.from(bytes),
  })
  .meta({ wire: { type: 'array', items: { type: 'integer', minimum: 0, maximum: 255 } } })

/** Bytes as base64 text. */
export const base64Schema = z
  .codec(z.base64(), z.instanceof(Uint8Array), {
    decode: (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)),
    encode: (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')),
  })
  .meta({ wire: { type: 'string', format: 'byte' } })

/** Output of a program: text, or bytes where the capture format was binary. */
export const outputSchema = z.union([z.string(), byteArraySchema])

/** An id, a name or another short text. */
export const shortTextSchema = z.string().max(SHORT_TEXT_LENGTH_MAX)

/** A field that may be absent or null on the wire; inside it is there or undefined; it is left out of output. */
export function maybe<S extends z.ZodType>(
  schema: S,
): z.ZodCodec<z.ZodOptional<z.ZodNullable<S>>, z.ZodOptional<z.ZodCustom<z.output<S>, z.output<S>>>> {
  return z.codec(schema.nullish(), z.custom<z.output<S>>().optional(), {
    decode: (value) => value ?? undefined,
    encode: (value) => value as z.output<S> | undefined,
  })
}

/** A field that is always there in output, as null when there is no value. Input may leave it out. */
export function nullable<S extends z.ZodType>(
  schema: S,
): z.ZodCodec<z.ZodOptional<z.ZodNullable<S>>, z.ZodNullable<z.ZodCustom<z.output<S>, z.output<S>>>> {
  return z.codec(schema.nullish(), z.custom<z.output<S>>().nullable(), {
    decode: (value) => value ?? null,
    encode: (value) => value as z.output<S> | null,
  })
}

/** The body of an error answer. `null` when there is nothing to say. */
export const errorMessageSchema = z.object({ message: z.string().nullable() }).meta({ id: 'ErrorMessage' })
export type ErrorMessage = z.output<typeof errorMessageSchema>
