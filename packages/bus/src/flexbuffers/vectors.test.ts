import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { decodeFlexbuffers, encodeFlexbuffers, Float } from './index.ts'

type Vector = { name: string; value: unknown; hex: string }
const file = new URL('../../../../spec/vectors/flexbuffers.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }

/** Replaces what stands for the values that JSON lacks. */
function revive(value: unknown, makeFloat: (value: number) => unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => revive(item, makeFloat))
  if (typeof value !== 'object' || value === null) return value
  const { $blob, $bigint, $float } = value as { $blob?: string; $bigint?: string; $float?: number }
  if ($blob !== undefined) return new Uint8Array(Buffer.from($blob, 'hex'))
  if ($bigint !== undefined) return BigInt($bigint)
  if ($float !== undefined) return makeFloat($float)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item, makeFloat)]))
}

describe('the vectors of flexbuffers-rs', () => {
  it('are all there', () => expect(vectors.length).toBeGreaterThanOrEqual(34))

  it.each(vectors)('$name: writes the same bytes', ({ value, hex }) => {
    const bytes = encodeFlexbuffers(revive(value, (number) => new Float(number)))
    expect(Buffer.from(bytes).toString('hex')).toBe(hex)
  })

  it.each(vectors)('$name: reads the same value', ({ value, hex }) => {
    const bytes = new Uint8Array(Buffer.from(hex, 'hex'))
    expect(decodeFlexbuffers(bytes)).toEqual(revive(value, (number) => number))
  })
})
