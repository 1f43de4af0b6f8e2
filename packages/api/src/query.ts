/** Pieces of queries and paths. Their wire form is text, always. */
import { type NodeId, nodeIdSchema, SHORT_TEXT_LENGTH_MAX } from '@emet/core'
import { z } from 'zod'

/** Longest wait that a long poll grants, in seconds. Longer ones are cut to it. */
export const LONG_POLL_SECONDS_MAX = 3600

const numberText = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?$/

/** A number as text. */
const numberQuery = z.codec(z.string().max(64), z.number(), {
  decode: (text, context) => {
    if (numberText.test(text)) return Number(text)
    context.issues.push({ code: 'custom', input: text, message: `not a number: ${JSON.stringify(text)}` })
    return z.NEVER
  },
  encode: String,
})

/** A whole number as text, within the bounds. */
export const intQuery = (min: number, max: number) =>
  z
    .codec(z.string().max(64), z.int().min(min).max(max), {
      decode: (text, context) => {
        if (/^[+-]?\d{1,15}$/.test(text)) return Number(text)
        context.issues.push({ code: 'custom', input: text, message: `not a whole number: ${JSON.stringify(text)}` })
        return z.NEVER
      },
      encode: String,
    })
    .meta({ wire: { type: 'integer', minimum: min, maximum: max } })

export const booleanQuery = z
  .codec(z.enum(['true', 'false']), z.boolean(), {
    decode: (text) => text === 'true',
    encode: (value) => (value ? 'true' : 'false'),
  })
  .meta({ wire: { type: 'boolean' } })

/** Seconds to wait, as text. Negative ones count as 0, and long ones are cut to `LONG_POLL_SECONDS_MAX`. */
export const secondsQuery = z
  .codec(numberQuery, z.number(), {
    decode: (seconds) => Math.min(Math.max(seconds, 0), LONG_POLL_SECONDS_MAX),
    encode: (seconds) => seconds,
  })
  .meta({ wire: { type: 'number', description: 'Seconds' } })

/** A list: comma-joined text, or the parameter repeated. Sent comma-joined. */
export const listQuery = z
  .codec(z.union([z.string(), z.array(z.string()).max(1000)]), z.array(z.string().max(SHORT_TEXT_LENGTH_MAX)), {
    decode: (given) =>
      (Array.isArray(given) ? given : [given])
        .flatMap((text) => text.split(','))
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    encode: (items) => items.join(','),
  })
  .meta({ wire: { type: 'string', description: 'Comma-joined list' } })

/** An opaque id in a path. */
export const idParam = z.string().min(1).max(SHORT_TEXT_LENGTH_MAX)

export const nodeIdParam: z.ZodType<NodeId, string> = nodeIdSchema

const checked = (isRight: (text: string) => boolean, what: string) =>
  z
    .string()
    .refine(isRight, { error: (issue) => `Invalid ${what}: ${JSON.stringify(String(issue.input).slice(0, 200))}` })

/** Golem wire: `<32 hex>-<64 hex>`. */
export const subscriptionIdParam = checked(
  (text) => /^[0-9a-fA-F]{32}-[0-9a-fA-F]{64}$/.test(text),
  'subscription id (32 hex digits, a dash, 64 hex digits)',
)
/** Golem wire: `R-` or `P-`, and 64 hex digits. */
export const proposalIdParam = checked(
  (text) => /^[RP]-[0-9a-fA-F]{64}$/.test(text),
  'proposal id (R- or P-, and 64 hex digits)',
)
/** Golem wire: 64 hex digits. */
export const agreementIdParam = checked((text) => /^[0-9a-fA-F]{64}$/.test(text), 'Agreement id (64 hex digits)')
