/** Files of other nodes by messages: several chunks under way at a time. */
import { type Bus, BusError, type Caller, type CallOptions, ReplyError } from '@emet/bus'
import { messageOf, type NodeId } from '@emet/core'
import { z } from 'zod'
import { FilesError } from './errors.ts'
import { CHUNK_TIMEOUT_MS, GFTP_CHUNK_BYTES, GFTP_DOWNLOADS_MAX, GFTP_UPLOADS_MAX } from './options.ts'
import { type FileUrl, formatFileUrl } from './url.ts'

const number = z.union([z.number(), z.bigint()]).transform(Number)
const metadataSchema = z.object({ fileSize: number.pipe(z.int().min(0)) })
const content = z.union([
  z.instanceof(Uint8Array),
  z.array(z.int().min(0).max(255)).transform((list) => Uint8Array.from(list)),
])
const chunkSchema = z.object({ offset: number, content })

/** One file of another node. */
export type RemoteFile = {
  size(signal: AbortSignal): Promise<number>
  /** The bytes from `offset` to `end`. */
  read(offset: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Sends bytes from `offset` on; resolves with how many have gone. */
  write(offset: number, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<number>
  finish(sha3: string, signal: AbortSignal): Promise<void>
}

/** The file behind `url`, asked for as `owner`, or as this node. */
export function createRemoteFile(bus: Bus, owner: NodeId | undefined, url: FileUrl): RemoteFile {
  // Golem wire: files go over the transport class for bulk data.
  const prefix = `/transfer/net/${url.nodeId}/gftp/${url.name}`
  const text = formatFileUrl(url)

  const call = async <S extends z.ZodType>(message: string, body: unknown, schema: S, signal: AbortSignal) => {
    const caller: Caller = owner ? { kind: 'local', nodeId: owner } : { kind: 'local' }
    const options: CallOptions = { caller, timeoutMs: CHUNK_TIMEOUT_MS, signal }
    const reply = await bus.call(`${prefix}/${message}`, body, options).catch((error) => {
      throw signal.aborted ? signal.reason : fromWireError(error, text)
    })
    const parsed = schema.safeParse(reply)
    if (parsed.success) return parsed.data as z.output<S>
    throw new FilesError('failed', `${text}: ${message} was answered in a way that is not agreed`)
  }
  const chunk = async (offset: number, size: number, signal: AbortSignal): Promise<Uint8Array> => {
    const got = await call('GetChunk', { offset, size }, chunkSchema, signal)
    if (got.content.length === size && got.offset === offset) return got.content
    throw new FilesError('failed', `${text}: ${got.content.length} bytes came instead of ${size} at ${offset}`)
  }
  return {
    size: async (signal) => (await call('GetMetadata', null, metadataSchema, signal)).fileSize,
    read: async function* (offset, end, signal) {
      const stop = new AbortController()
      const both = AbortSignal.any([signal, stop.signal])
      const window: Promise<Uint8Array>[] = []
      try {
        for (let next = offset; next < end || window.length > 0; ) {
          while (next < end && window.length < GFTP_DOWNLOADS_MAX) {
            const size = Math.min(GFTP_CHUNK_BYTES, end - next)
            const wanted = chunk(next, size, both)
            wanted.catch(() => {})
            window.push(wanted)
            next += size
          }
          const first = await window.shift()
          if (first) yield first
        }
      } finally {
        stop.abort(new BusError('closed', 'the transfer has ended'))
      }
    },
    write: async function* (start, bytes, signal) {
      const underWay: Promise<number>[] = []
      let offset = start
      for await (const piece of rechunk(bytes, GFTP_CHUNK_BYTES)) {
        const end = offset + piece.length
        const sent = call('UploadChunk', { chunk: { offset, content: piece } }, z.unknown(), signal).then(() => end)
        sent.catch(() => {})
        underWay.push(sent)
        offset = end
        if (underWay.length >= GFTP_UPLOADS_MAX) yield (await underWay.shift()) ?? end
      }
      for (const sent of underWay) yield await sent
    },
    finish: async (sha3, signal) => void (await call('UploadFinished', { hash: sha3 }, z.unknown(), signal)),
  }
}

function fromWireError(error: unknown, url: string): unknown {
  if (error instanceof BusError) {
    const code = error.code === 'no-endpoint' ? 'not-found' : 'failed'
    return new FilesError(code, `${url}: ${error.message}`, { busCode: error.code }, { cause: error })
  }
  if (!(error instanceof ReplyError)) return error
  if (error.data === 'IntegrityError') return new FilesError('integrity', `${url}: the upload arrived damaged`)
  const [value] = typeof error.data === 'object' && error.data ? Object.values(error.data) : []
  return new FilesError('failed', `${url}: ${typeof value === 'string' ? value : messageOf(error)}`)
}

/** The same bytes in pieces of `size`, the last one shorter. */
export async function* rechunk(bytes: AsyncIterable<Uint8Array>, size: number): AsyncIterable<Uint8Array> {
  let rest: Uint8Array = new Uint8Array()
  for await (const piece of bytes) {
    let all = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    for (; all.length >= size; all = all.subarray(size)) yield all.subarray(0, size)
    rest = all
  }
  if (rest.length > 0) yield rest
}
