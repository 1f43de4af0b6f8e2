import { FilesError } from './errors.ts'
import { UPLOAD_AHEAD_BYTES_MAX, UPLOAD_GAPS_MAX } from './options.ts'

/** Which bytes of an upload have come. Pure. */
export type Coverage = {
  /** Bytes that have come, counted once. */
  readonly total: number
  /** Adds a range. Throws `bad-request` when it is too far ahead, or leaves too many gaps. */
  add(start: number, end: number): void
  /** True when everything from 0 to the highest byte has come. */
  isComplete(): boolean
}

/** Nothing has come yet, or `initial` bytes from the start have. */
export function createCoverage(initial = 0): Coverage {
  // Sorted, disjoint, not touching.
  let ranges: [start: number, end: number][] = initial > 0 ? [[0, initial]] : []
  const total = () => ranges.reduce((sum, [start, end]) => sum + end - start, 0)
  const frontier = () => (ranges[0]?.[0] === 0 ? ranges[0][1] : 0)
  return {
    get total() {
      return total()
    },
    add: (start, end) => {
      if (start > frontier() + UPLOAD_AHEAD_BYTES_MAX) {
        throw new FilesError('bad-request', `a chunk at ${start} is too far ahead of ${frontier()}; send them in order`)
      }
      if (end <= start) return
      const apart = ranges.filter(([from, to]) => to < start || from > end)
      const touching = ranges.filter(([from, to]) => to >= start && from <= end)
      const merged: [number, number] = [
        Math.min(start, ...touching.map(([from]) => from)),
        Math.max(end, ...touching.map(([, to]) => to)),
      ]
      if (apart.length >= UPLOAD_GAPS_MAX) {
        throw new FilesError('bad-request', `the upload has ${UPLOAD_GAPS_MAX} gaps; send the chunks in order`)
      }
      ranges = [...apart, merged].sort(([a], [b]) => a - b)
    },
    isComplete: () => ranges.length === 0 || (ranges.length === 1 && ranges[0]?.[0] === 0),
  }
}
