/**
 * What is kept of an output stream. Golem wire: `head` the first n bytes, `tail` the last n, `headTail` half of each, and
 * without a part everything; `stream` keeps everything up to its limit. Here everything that is kept has a limit too;
 * what is only told live has none but the one asked for, since a slow reader holds the program back.
 */
import type { CaptureFormat, CaptureMode } from './script.ts'

/** Kept bytes of one output stream of one command, whatever the requestor asks for. */
export const OUTPUT_BYTES_MAX = 4 * 1024 * 1024

/** What a kept byte may come to on the wire, as text that is not UTF-8, and as an array of byte values. */
const WIRE_BYTES: Readonly<Record<CaptureFormat, number>> = { text: 2, bytes: 5 }

/** What kept output comes to on the wire, at most, in bytes. */
export function wireBytesOf(value: OutputValue | null): number {
  if (value === null) return 0
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length * WIRE_BYTES.bytes
}

/** Output on the wire: text, or an array of byte values. */
export type OutputValue = string | number[]

export interface OutputKeeper {
  /** Takes a chunk; returns the part of it that is to be told live, if any. */
  push(chunk: Uint8Array): Uint8Array | undefined
  /** What was kept, or null for nothing. */
  value(): OutputValue | null
  /** Bytes that were dropped although the requestor did not ask for less. */
  readonly droppedBytes: number
}

/** `wireBudgetBytes`: what the kept output may come to on the wire, for example what the batch has left. */
export function createOutputKeeper(mode: CaptureMode, wireBudgetBytes = Infinity): OutputKeeper {
  const budgetBytes = Math.floor(wireBudgetBytes / WIRE_BYTES[mode.format])
  const max = Math.min(mode.kind === 'all' ? Infinity : (mode.bytes ?? Infinity), OUTPUT_BYTES_MAX, budgetBytes)
  const { headMax, tailMax } = parts(mode.kind, max)
  const head = createHead(headMax)
  const tail = createTail(tailMax)
  const isLimitOurs = mode.kind === 'all' || (mode.bytes ?? Infinity) > max
  let dropped = 0
  let toldMax = mode.kind === 'stream' ? (mode.bytes ?? Infinity) : 0
  return {
    push: (chunk) => {
      const kept = head.push(chunk)
      const rest = chunk.subarray(kept)
      if (rest.length > 0) {
        tail.push(rest)
        if (isLimitOurs) dropped += rest.length
      }
      const told = chunk.subarray(0, Math.min(chunk.length, toldMax))
      toldMax -= told.length
      return told.length > 0 ? told : undefined
    },
    value: () => {
      const bytes = Buffer.concat([...head.chunks, ...tail.chunks()])
      return bytes.length === 0 ? null : encodeOutput(bytes, mode.format)
    },
    get droppedBytes() {
      return dropped
    },
  }
}

/** The bytes as the requestor wants them. Golem wire: text that is not UTF-8 becomes one character per byte. */
export function encodeOutput(bytes: Uint8Array, format: CaptureFormat): OutputValue {
  if (format === 'bytes') return Array.from(bytes)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return Buffer.from(bytes).toString('latin1')
  }
}

/**
 * Splits live text so that no character is cut in two: returns what can be told now, keeps up to three bytes. Bytes
 * that are no UTF-8 at all pass as they are.
 */
export function createTextSplitter(): { push(chunk: Uint8Array): Uint8Array; flush(): Uint8Array } {
  let rest: Uint8Array = new Uint8Array(0)
  return {
    push: (chunk) => {
      const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      const end = all.length - unfinishedBytes(all)
      rest = all.slice(end)
      return all.subarray(0, end)
    },
    flush: () => {
      const last = rest
      rest = new Uint8Array(0)
      return last
    },
  }
}

/** How many bytes at the end begin a character that is not complete. */
function unfinishedBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

function parts(kind: CaptureMode['kind'], max: number): { headMax: number; tailMax: number } {
  switch (kind) {
    case 'tail':
      return { headMax: 0, tailMax: max }
    case 'headTail':
      return { headMax: Math.ceil(max / 2), tailMax: Math.floor(max / 2) }
    default:
      return { headMax: max, tailMax: 0 }
  }
}

function createHead(max: number) {
  const chunks: Uint8Array[] = []
  let size = 0
  return {
    chunks,
    push: (chunk: Uint8Array): number => {
      const kept = Math.min(chunk.length, max - size)
      if (kept > 0) chunks.push(chunk.slice(0, kept))
      size += kept
      return kept
    },
  }
}

function createTail(max: number) {
  let ring: Uint8Array[] = []
  let size = 0
  return {
    push: (chunk: Uint8Array): void => {
      if (max === 0) return
      ring.push(chunk.slice(-max))
      size += Math.min(chunk.length, max)
      while (ring[0] && size - ring[0].length >= max) size -= ring.shift()?.length ?? 0
      // Many small chunks would cost more than their bytes.
      if (ring.length > 1024) ring = [Buffer.concat(ring)]
    },
    chunks: (): Uint8Array[] => [Buffer.concat(ring).subarray(-max || undefined)].filter(() => max > 0),
  }
}
