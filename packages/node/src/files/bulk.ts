/**
 * Files over bulk streams, between Emet nodes. Each stream carries one file one way.
 *
 *     purpose                       the opener sends              the other side sends
 *     gftp/get/<name>/<offset>      (finishes at once)            header {sizeBytes} and the bytes from offset, or {error}
 *     gftp/put/<name>               the bytes from `offset`       header {offset}, and at the end {isDone}, or {error}
 *
 * A header is JSON behind its length in two bytes (big-endian). As by messages, who knows the name may.
 */
import { type Logger, messageOf } from '@emet/core'
import type { ByteStream, Net, Remote } from '@emet/net'
import { z } from 'zod'
import { readFrom } from './disk.ts'
import { FilesError, type FilesErrorCode } from './errors.ts'
import { BULK_HEADER_BYTES_MAX, BULK_STREAMS_MAX } from './options.ts'
import type { RemoteSource, RemoteTarget } from './remote.ts'
import type { Shelf } from './shelf.ts'
import type { FileUrl } from './url.ts'

export const BULK_PREFIX = 'gftp/'
const PURPOSE = /^gftp\/(get|put)\/([0-9a-zA-Z_-]{1,128})(?:\/(\d{1,15}))?$/

const headerSchema = z.object({
  sizeBytes: z.int().min(0).optional(),
  offset: z.int().min(0).optional(),
  isDone: z.literal(true).optional(),
  error: z.object({ code: z.string(), message: z.string().max(BULK_HEADER_BYTES_MAX) }).optional(),
})
type Header = z.output<typeof headerSchema>

/** Serves the streams of other nodes. */
export function serveBulk(net: Pick<Net, 'onBulk'>, shelf: Shelf, logger: Logger) {
  let streams = 0
  const serve = async (purpose: string, stream: ByteStream): Promise<void> => {
    const [, way, name = '', offset = '0'] = PURPOSE.exec(purpose) ?? []
    if (!way) throw new FilesError('bad-request', `unknown purpose ${purpose.slice(0, 200)}`)
    if (streams > BULK_STREAMS_MAX)
      throw new FilesError('limit', `${BULK_STREAMS_MAX} transfers are under way; try later`)
    if (way === 'get') await serveGet(shelf, stream, name, Number(offset))
    else await servePut(shelf, stream, name)
  }
  return net.onBulk(BULK_PREFIX, (remote: Remote, purpose: string, stream: ByteStream) => {
    streams++
    serve(purpose, stream)
      .catch(async (error) => {
        logger.debug('a bulk transfer failed', { peer: remote.nodeId, purpose, error: messageOf(error) })
        const code = error instanceof FilesError ? error.code : 'failed'
        await stream.write(encodeHeader({ error: { code, message: messageOf(error).slice(0, 500) } }))
        await stream.finish()
      })
      .catch((error) => stream.abort(error instanceof Error ? error : new Error(messageOf(error))))
      .finally(() => streams--)
  })
}

async function serveGet(shelf: Shelf, stream: ByteStream, name: string, offset: number): Promise<void> {
  const { path, sizeBytes } = await shelf.published(name)
  if (offset > sizeBytes) throw new FilesError('bad-request', `the offset ${offset} is beyond the end, ${sizeBytes}`)
  await stream.write(encodeHeader({ sizeBytes }))
  let sent = offset
  for await (const piece of readFrom(path, offset)) {
    // A file that grows meanwhile is not the one that was published.
    const part = piece.subarray(0, sizeBytes - sent)
    if (part.length > 0) await stream.write(part)
    sent += part.length
    shelf.countRead(name, part.length)
  }
  if (sent < sizeBytes) return stream.abort(new Error('the file has become shorter'))
  await stream.finish()
}

async function servePut(shelf: Shelf, stream: ByteStream, name: string): Promise<void> {
  let offset = await shelf.receivedFromStart(name)
  await stream.write(encodeHeader({ offset }))
  for await (const piece of stream.source) {
    await shelf.write(name, offset, piece)
    offset += piece.length
  }
  await stream.write(encodeHeader({ isDone: true }))
  await stream.finish()
}

/** Opens the published file of another node: its size, and the bytes from `offset` on. */
export async function openGet(
  net: Pick<Net, 'openBulk'>,
  url: FileUrl,
  offset: number,
  signal: AbortSignal,
): Promise<RemoteSource> {
  const stream = await net.openBulk(url.nodeId, `${BULK_PREFIX}get/${url.name}/${offset}`, { signal })
  const reader = createHeaderReader(stream.source)
  const abort = (error: unknown) => stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
  try {
    await stream.finish()
    const { sizeBytes } = await untilAborted(reader.header(), signal, abort)
    if (sizeBytes === undefined) throw new FilesError('failed', 'the other node did not say how large the file is')
    return { sizeBytes, bytes: reader.rest(), abort }
  } catch (error) {
    abort(error)
    throw error
  }
}

/** Opens a URL of another node for an upload; it says where it wants to go on. */
export async function openPut(net: Pick<Net, 'openBulk'>, url: FileUrl, signal: AbortSignal): Promise<RemoteTarget> {
  const stream = await net.openBulk(url.nodeId, `${BULK_PREFIX}put/${url.name}`, { signal })
  const abort = (error: unknown) => stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
  try {
    const reader = createHeaderReader(stream.source)
    const { offset = 0 } = await untilAborted(reader.header(), signal, abort)
    return { offset, write: (bytes) => sendAll(stream, reader, bytes, offset, signal), abort }
  } catch (error) {
    abort(error)
    throw error
  }
}

async function* sendAll(
  stream: ByteStream,
  reader: HeaderReader,
  bytes: AsyncIterable<Uint8Array>,
  offset: number,
  signal: AbortSignal,
): AsyncIterable<number> {
  let sent = offset
  let isDone = false
  const stop = () => stream.abort(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const piece of bytes) {
      signal.throwIfAborted()
      await stream.write(piece)
      sent += piece.length
      yield sent
    }
    await stream.finish()
    isDone = (await reader.header()).isDone === true
    if (!isDone) throw new FilesError('failed', 'the other node did not confirm the upload')
  } finally {
    signal.removeEventListener('abort', stop)
    if (!isDone) stream.abort(new Error('the upload was given up'))
  }
}

/** `work`, which ends when `signal` aborts because `abort` then ends the stream it waits for. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, abort: (reason: unknown) => void): Promise<T> {
  const stop = () => abort(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await work
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function encodeHeader(header: Header): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(2 + json.length)
  new DataView(bytes.buffer).setUint16(0, json.length)
  bytes.set(json, 2)
  return bytes
}

const CODES: ReadonlySet<string> = new Set<FilesErrorCode>([
  'bad-request',
  'not-found',
  'changed',
  'limit',
  'too-large',
])

type HeaderReader = ReturnType<typeof createHeaderReader>

/** Headers and bytes from one source. */
function createHeaderReader(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]()
  let held: Uint8Array = new Uint8Array()
  const take = async (count: number): Promise<Uint8Array> => {
    while (held.length < count) {
      const next = await iterator.next()
      if (next.done) throw new FilesError('failed', 'the transfer ended too soon')
      held = held.length === 0 ? next.value : Buffer.concat([held, next.value])
    }
    const taken = held.subarray(0, count)
    held = held.subarray(count)
    return taken
  }
  const header = async (): Promise<Header> => {
    const prefix = await take(2)
    const length = new DataView(prefix.buffer, prefix.byteOffset).getUint16(0)
    if (length > BULK_HEADER_BYTES_MAX) throw new FilesError('failed', 'the other node sent a header that is too long')
    const text = new TextDecoder().decode(await take(length))
    const parsed = headerSchema.safeParse(parseJson(text))
    if (!parsed.success) throw new FilesError('failed', 'the other node sent a header that cannot be read')
    const { error } = parsed.data
    if (error) throw new FilesError(CODES.has(error.code) ? (error.code as FilesErrorCode) : 'failed', error.message)
    return parsed.data
  }
  async function* rest(): AsyncIterable<Uint8Array> {
    if (held.length > 0) yield held
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { header, rest }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
