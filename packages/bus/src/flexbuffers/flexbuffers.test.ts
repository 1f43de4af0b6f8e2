import { describe, expect, it } from 'vitest'
import { BusError } from '../errors.ts'
import { BODY_BYTES_MAX, DEPTH_MAX, decodeFlexbuffers, encodeFlexbuffers, Float } from './index.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const read = (text: string) => decodeFlexbuffers(new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex')))
const code = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return error instanceof BusError ? error.code : error
  }
  return 'no error'
}

describe('numbers', () => {
  it('are Float for all when one of an array is, as usage vectors need', () => {
    expect(hex(encodeFlexbuffers([1, 0.5]))).toBe('0000803f0000003f084a01')
    expect(hex(encodeFlexbuffers([new Float(1), 0.5]))).toBe('0000803f0000003f084a01')
    expect(hex(encodeFlexbuffers(new Float64Array([1, 0.5])))).toBe('0000803f0000003f084a01')
  })
  it('are Int for all when one of an array is negative', () => {
    expect(decodeFlexbuffers(encodeFlexbuffers([1, -1]))).toEqual([1, -1])
    expect(hex(encodeFlexbuffers([1, -1]))).toBe('01ff024001')
  })
  it('keep -0, infinities and NaN', () => {
    for (const value of [-0, Number.POSITIVE_INFINITY, Number.NaN, Number.MAX_VALUE]) {
      expect(decodeFlexbuffers(encodeFlexbuffers(value))).toBe(value)
    }
  })
  it('mix large and negative bigints without loss', () => {
    const mixed = [2n ** 64n - 1n, -1n, 5]
    expect(decodeFlexbuffers(encodeFlexbuffers(mixed))).toEqual([2n ** 64n - 1n, -1, 5])
  })
  it('beyond 64 bits are refused', () => {
    expect(code(() => encodeFlexbuffers(2n ** 64n))).toBe('bad-request')
    expect(code(() => encodeFlexbuffers(-(2n ** 63n) - 1n))).toBe('bad-request')
  })
})

describe('what other writers produce', () => {
  it('indirect numbers', () => expect(read('05 01 18 01')).toBe(5))
  it('the deprecated vector of strings', () => {
    expect(read('01 61 00 01 62 00 02 06 04 02 3c 01')).toEqual(['a', 'b'])
  })
  it('a vector of keys', () => expect(read('61 00 01 03 01 38 01')).toEqual(['a']))
})

describe('values that have no form', () => {
  it.each([[Symbol('s')], [() => 1], [new Date(0)], [new Map()], [{ 'a\0': 1 }]])('%s is refused', (value) => {
    expect(code(() => encodeFlexbuffers(value))).toBe('bad-request')
  })
  it('a cycle is refused', () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(code(() => encodeFlexbuffers(cycle))).toBe('bad-request')
  })
  it('an oversized value is refused', () => {
    expect(code(() => encodeFlexbuffers(new Uint8Array(BODY_BYTES_MAX + 1)))).toBe('too-large')
  })
  it('undefined properties are left out', () => {
    expect(decodeFlexbuffers(encodeFlexbuffers({ a: undefined, b: [undefined] }))).toEqual({ b: [null] })
  })
})

describe('hostile bytes', () => {
  it('nest no deeper than the limit', () => {
    let value: unknown = null
    for (let level = 0; level < DEPTH_MAX; level++) value = { v: value }
    const deepest = encodeFlexbuffers(value)
    expect(decodeFlexbuffers(deepest)).toEqual(value)
    // A vector whose only element is itself: at 1 the offset 0 points to 1.
    expect(code(() => read('01 00 28 02 28 01'))).toBe('bad-request')
  })
  it('cannot multiply shared parts', () => {
    const wide = sharedVectors(8, 200)
    expect(wide.length).toBeLessThan(10_000)
    expect(code(() => decodeFlexbuffers(wide))).toBe('bad-request')
  })
  it('claim lengths in vain', () => {
    expect(code(() => read('ff 07 01 30 01'))).toBe('bad-request')
    expect(code(() => read('ffffff7f 00 00 00 00 04 2e 04'))).toBe('bad-request')
  })
  it('name a property __proto__ and change no prototype', () => {
    const value = decodeFlexbuffers(encodeFlexbuffers(JSON.parse('{"__proto__":{"polluted":1}}'))) as object
    expect(Object.keys(value)).toEqual(['__proto__'])
    expect((value as { polluted?: number }).polluted).toBeUndefined()
  })
  it('are not UTF-8', () => expect(code(() => read('01 ff 00 02 14 01'))).toBe('bad-request'))
})

/** `levels` vectors, each of which holds the one before `count` times, by offsets of 2 bytes. */
function sharedVectors(levels: number, count: number): Uint8Array {
  const bytes: number[] = [0, 0]
  const u16 = (value: number) => bytes.push(value & 0xff, value >> 8)
  let inner = 2
  for (let level = 0; level < levels; level++) {
    u16(count)
    const start = bytes.length
    for (let index = 0; index < count; index++) u16(bytes.length - inner)
    for (let index = 0; index < count; index++) bytes.push(level === 0 ? 0x28 : 0x29)
    inner = start
  }
  u16(bytes.length - inner)
  bytes.push(0x29, 2)
  return Uint8Array.from(bytes)
}
