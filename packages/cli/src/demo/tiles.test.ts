import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutTiles, placeTile } from './tiles.ts'

test('tiles cover every pixel exactly once', () => {
  const size = fc.integer({ min: 1, max: 60 })
  fc.assert(
    fc.property(size, size, size, (width, height, tileSize) => {
      const seen = new Uint8Array(width * height)
      for (const { x0, y0, x1, y1 } of cutTiles(width, height, tileSize)) {
        for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) seen[y * width + x] = (seen[y * width + x] ?? 0) + 1
      }
      return seen.every((count) => count === 1)
    }),
  )
})

test('tiles that are put together give the picture they were cut from', () => {
  const [width, height] = [17, 11]
  const original = Uint8Array.from({ length: width * height * 3 }, (_, at) => at % 251)
  const joined = new Uint8Array(original.length)
  for (const tile of cutTiles(width, height, 5)) {
    const bytes: number[] = []
    for (let y = tile.y0; y < tile.y1; y++) {
      bytes.push(...original.subarray((y * width + tile.x0) * 3, (y * width + tile.x1) * 3))
    }
    placeTile(joined, width, tile, Uint8Array.from(bytes))
  }
  expect(joined).toEqual(original)
})

test('a tile of the wrong size is refused', () => {
  const tile = { x0: 0, y0: 0, x1: 2, y1: 2 }
  expect(() => placeTile(new Uint8Array(12), 2, tile, new Uint8Array(11))).toThrow(/11 bytes instead of 12/)
})
