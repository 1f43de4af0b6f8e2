import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createOutputKeeper, createTextSplitter, encodeOutput, wireBytesOf } from './output.ts'
import type { CaptureMode } from './script.ts'

const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 })
const all = (parts: Uint8Array[]) => Buffer.concat(parts)
const keep = (mode: CaptureMode, parts: Uint8Array[]) => {
  const keeper = createOutputKeeper(mode)
  const live = parts.flatMap((part) => keeper.push(part) ?? [])
  return { value: keeper.value() ?? [], live: all(live), dropped: keeper.droppedBytes }
}

describe('kept output', () => {
  it('is the head, the tail, or both, however it is cut into chunks', () => {
    fc.assert(
      fc.property(chunks, fc.integer({ min: 0, max: 200 }), (parts, n) => {
        const whole = [...all(parts)]
        const head = Math.ceil(n / 2)
        const rest = whole.slice(head)
        const tail = Math.floor(n / 2)
        expect(keep({ kind: 'head', bytes: n, format: 'bytes' }, parts).value).toEqual(whole.slice(0, n))
        expect(keep({ kind: 'tail', bytes: n, format: 'bytes' }, parts).value).toEqual(n === 0 ? [] : whole.slice(-n))
        expect(keep({ kind: 'headTail', bytes: n, format: 'bytes' }, parts).value).toEqual([
          ...whole.slice(0, head),
          ...(tail === 0 ? [] : rest.slice(-tail)),
        ])
        const streamed = keep({ kind: 'stream', bytes: n, format: 'bytes' }, parts)
        expect(streamed.value).toEqual(whole.slice(0, n))
        expect([...streamed.live]).toEqual(whole.slice(0, n))
        expect(streamed.dropped).toBe(0)
        expect(keep({ kind: 'all', format: 'bytes' }, parts).value).toEqual(whole)
      }),
    )
  })

  it('counts what it drops beyond its own limit', () => {
    fc.assert(
      fc.property(chunks, fc.integer({ min: 0, max: 200 }), (parts, budget) => {
        const keeper = createOutputKeeper({ kind: 'all', format: 'bytes' }, budget)
        for (const part of parts) keeper.push(part)
        expect((keeper.value()?.length ?? 0) + keeper.droppedBytes).toBe(all(parts).length)
      }),
    )
  })

  it('keeps no more than may go over the wire, and tells all of it live', () => {
    fc.assert(
      fc.property(
        chunks,
        fc.integer({ min: 0, max: 200 }),
        fc.constantFrom('text', 'bytes'),
        (parts, budget, format) => {
          const keeper = createOutputKeeper({ kind: 'stream', bytes: undefined, format }, budget)
          const live = parts.map((part) => keeper.push(part) ?? new Uint8Array())
          expect(all(live)).toEqual(all(parts))
          expect(wireBytesOf(keeper.value())).toBeLessThanOrEqual(budget)
        },
      ),
    )
  })

  it('splits live text between characters only', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 5 }), (text, size) => {
        const bytes = Buffer.from(text)
        const splitter = createTextSplitter()
        let joined = ''
        for (let at = 0; at < bytes.length; at += size) {
          joined += encodeOutput(splitter.push(bytes.subarray(at, at + size)), 'text')
        }
        expect(joined + encodeOutput(splitter.flush(), 'text')).toBe(text.toWellFormed())
      }),
    )
  })

  it('shows bytes that are no text as one character each, as the existing exe-unit does', () => {
    expect(encodeOutput(Uint8Array.of(0xff, 0x41), 'text')).toBe('\u00ffA')
  })
})
