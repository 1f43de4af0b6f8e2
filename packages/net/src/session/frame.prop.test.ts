import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFrameReader, encodeFrame, FRAME, FRAME_PAYLOAD_BYTES_MAX, type Frame } from './frame.ts'

const kinds = Object.values(FRAME)
const frames = fc.array(
  fc.record({
    kind: fc.constantFrom(...kinds),
    more: fc.boolean(),
    id: fc.nat(0xffff_ffff),
    payload: fc.uint8Array({ maxLength: 3000 }),
  }),
  { maxLength: 20 },
)

describe('frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(frames, fc.infiniteStream(fc.integer({ min: 1, max: 5000 })), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(({ kind, id, payload, more }) => encodeFrame(kind, id, payload, more)))
        const reader = createFrameReader()
        const got: Frame[] = []
        for (let at = 0; at < bytes.length; ) {
          const size = cuts.next().value ?? 1
          got.push(...reader.push(bytes.subarray(at, at + size)))
          at += size
        }
        expect(got.map((frame) => ({ ...frame, payload: [...frame.payload] }))).toEqual(
          sent.map((frame) => ({ ...frame, payload: [...frame.payload] })),
        )
      }),
    )
  })
  it('of a wrong length are refused before they are read', () => {
    const tooLong = new Uint8Array(9)
    new DataView(tooLong.buffer).setUint32(0, FRAME_PAYLOAD_BYTES_MAX + 6)
    expect(() => [...createFrameReader().push(tooLong)]).toThrow('are allowed')
    expect(() => [...createFrameReader().push(new Uint8Array(9))]).toThrow('are allowed')
  })
  it('never make the reader fail otherwise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        try {
          for (const frame of createFrameReader().push(bytes)) expect(frame.payload.length).toBeLessThan(500)
        } catch (error) {
          expect((error as { code?: string }).code).toBe('protocol')
        }
      }),
    )
  })
})
