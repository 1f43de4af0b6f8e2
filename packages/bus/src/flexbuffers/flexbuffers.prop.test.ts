import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BusError } from '../errors.ts'
import { decodeFlexbuffers, encodeFlexbuffers } from './index.ts'

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n }
const { value: anyValue } = fc.letrec((again) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.bigInt(INT64),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.integer({ min: -70_000, max: 70_000 }), { maxLength: 300 }),
    fc.array(fc.double({ noNaN: true })),
    fc.array(fc.boolean()),
    fc.array(again('value')),
    fc.dictionary(
      fc.string({ unit: 'binary' }).filter((key) => key.isWellFormed() && !key.includes('\0')),
      again('value'),
    ),
  ),
}))

/** What a value becomes on the way: bigints that fit a number are numbers; arrays of numbers have one type. */
function normal(value: unknown): unknown {
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  }
  if (value instanceof Uint8Array || value === null || typeof value !== 'object') return value
  if (!Array.isArray(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]))
  return value.map(normal)
}

describe('flexbuffers', () => {
  it('reads what it has written', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const decoded = decodeFlexbuffers(encodeFlexbuffers(value))
        // Keys come back sorted and on plain prototypes; toEqual minds neither.
        expect(decoded).toEqual(normal(value))
      }),
      { numRuns: 2_000 },
    )
  })

  it('writes the same bytes for what it has read', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const once = encodeFlexbuffers(decodeFlexbuffers(encodeFlexbuffers(value)))
        expect(encodeFlexbuffers(decodeFlexbuffers(once))).toEqual(once)
      }),
    )
  })

  it('answers random bytes with a value or a bad-request', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 200 }), (bytes) => {
        readOrRefuse(bytes)
      }),
      { numRuns: 20_000 },
    )
  })

  it('answers damaged bytes with a value or a bad-request', () => {
    const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(anyValue, change, (value, changes) => {
        const bytes = encodeFlexbuffers(value).slice()
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        readOrRefuse(bytes)
      }),
      { numRuns: 5_000 },
    )
  })
})

function readOrRefuse(bytes: Uint8Array): void {
  try {
    decodeFlexbuffers(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(BusError)
    expect((error as BusError).code).toBe('bad-request')
  }
}
