/**
 * GFTP over the bus. Golem wire: `/transfer/net/<node>/gftp/<name>/{GetMetadata,GetChunk,UploadChunk,UploadFinished}`,
 * chunks of 40 960 bytes, several under way; the name of a published file is its sha3-256 in hex.
 */
import { type Bus, BusError } from '@emet/bus'
import { z } from 'zod'
import { ExeUnitError } from '../errors.ts'
import type { Source } from './types.ts'
import type { Place } from './url.ts'

/** Golem wire. */
export const GFTP_CHUNK_BYTES = 40_960
/** Chunks asked for and not yet here. */
export const GFTP_DOWNLOADS_MAX = 12
/** Chunks sent and not yet confirmed. */
export const GFTP_UPLOADS_MAX = 3
/** How long one chunk may take. */
export const CHUNK_MS_MAX = 60_000

export type GftpPlace = Extract<Place, { kind: 'gftp' }>

const metadataSchema = z.object({ fileSize: z.union([z.number(), z.bigint()]).transform(Number) })
const chunkSchema = z.object({
  offset: z.union([z.number(), z.bigint()]).transform(Number),
  content: z.union([z.instanceof(Uint8Array), z.array(z.number()).transform((bytes) => Uint8Array.from(bytes))]),
})

const addressOf = (place: GftpPlace) => `/transfer/net/${place.nodeId}/gftp/${place.name}`

/** A file that another node publishes, by messages. */
export function messageSource(bus: Bus, place: GftpPlace): Source {
  const call = async <S extends z.ZodType>(message: string, body: unknown, schema: S, signal: AbortSignal) => {
    const reply = await bus.call(`${addressOf(place)}/${message}`, body, { signal, timeoutMs: CHUNK_MS_MAX })
    const parsed = schema.safeParse(reply)
    if (parsed.success) return parsed.data as z.output<S>
    throw new ExeUnitError('transfer-failed', `${place.url}: ${message} answered something else than agreed`)
  }
  const size = async (signal: AbortSignal) => (await call('GetMetadata', null, metadataSchema, signal)).fileSize
  const chunk = async (offset: number, bytes: number, signal: AbortSignal) => {
    const { content } = await call('GetChunk', { offset, size: bytes }, chunkSchema, signal)
    if (content.length === bytes) return content
    throw new ExeUnitError('transfer-failed', `${place.url}: ${content.length} bytes at ${offset} instead of ${bytes}`)
  }
  return {
    size,
    read: async function* (offset, signal) {
      const total = await size(signal)
      const stop = new AbortController()
      const both = AbortSignal.any([signal, stop.signal])
      const window: Promise<Uint8Array>[] = []
      let next = offset
      try {
        while (next < total || window.length > 0) {
          while (next < total && window.length < GFTP_DOWNLOADS_MAX) {
            const bytes = Math.min(GFTP_CHUNK_BYTES, total - next)
            const wanted = chunk(next, bytes, both)
            wanted.catch(() => {})
            window.push(wanted)
            next += bytes
          }
          const first = await window.shift()
          if (first) yield first
        }
      } finally {
        stop.abort(new BusError('closed', 'the transfer has ended'))
      }
    },
  }
}

/** Sends bytes to a slot that another node has opened, by messages. */
export async function sendByMessages(
  bus: Bus,
  place: GftpPlace,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const underWay = new Set<Promise<unknown>>()
  let offset = 0
  for await (const content of rechunk(bytes, GFTP_CHUNK_BYTES)) {
    const sent = callSlot(bus, place, 'UploadChunk', { chunk: { offset, content } }, signal)
    underWay.add(sent)
    sent.then(
      () => underWay.delete(sent),
      () => {},
    )
    offset += content.length
    if (underWay.size >= GFTP_UPLOADS_MAX) await Promise.race(underWay)
  }
  await Promise.all(underWay)
}

/** Says that everything has been sent. The other node checks the hash. */
export async function finishUpload(bus: Bus, place: GftpPlace, sha3: string, signal: AbortSignal): Promise<void> {
  await callSlot(bus, place, 'UploadFinished', { hash: sha3 }, signal)
}

const callSlot = (bus: Bus, place: GftpPlace, message: string, body: unknown, signal: AbortSignal) =>
  bus.call(`${addressOf(place)}/${message}`, body, { signal, timeoutMs: CHUNK_MS_MAX })

/** The same bytes in pieces of `size`, the last one shorter. */
export async function* rechunk(bytes: AsyncIterable<Uint8Array>, size: number): AsyncIterable<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0)
  for await (const piece of bytes) {
    const all = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let at = 0
    for (; all.length - at >= size; at += size) yield all.slice(at, at + size)
    rest = all.subarray(at)
  }
  if (rest.length > 0) yield Uint8Array.from(rest)
}
