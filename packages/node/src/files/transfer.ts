/** Downloads and uploads between this node and others: over a bulk stream where the other is Emet, else by messages. */
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Logger, messageOf, type NodeId } from '@emet/core'
import { openGet, openPut } from './bulk.ts'
import { fingerprint, openFile, readFrom } from './disk.ts'
import { FilesError, fromDiskError } from './errors.ts'
import { createRemoteFile } from './gftp-client.ts'
import type { FilesOptions } from './options.ts'
import { partOf } from './shelf.ts'
import type { FilesDeps, PublishedFile, TransferOptions } from './types.ts'
import { type FileUrl, formatFileUrl } from './url.ts'

type Deps = Pick<FilesDeps, 'bus' | 'net'> & { readonly logger: Logger }
type Source = { readonly sizeBytes: number; readonly bytes: AsyncIterable<Uint8Array>; abort(reason: Error): void }

const SHA3_HEX = /^[0-9a-f]{64}$/

/** Copies the file behind `url` to `path`, going on where an earlier attempt has stopped. */
export async function downloadFile(
  deps: Deps,
  owner: NodeId,
  url: FileUrl,
  path: string,
  options: TransferOptions & Pick<FilesOptions, 'fileBytesMax'>,
): Promise<PublishedFile> {
  const signal = options.signal ?? new AbortController().signal
  const part = partOf(path)
  await mkdir(dirname(path), { recursive: true }).catch((error) => {
    throw fromDiskError(error, path)
  })
  const offset = await stat(part).then(
    ({ size }) => size,
    () => 0,
  )
  const source = await openSource(deps, owner, url, offset, signal)
  try {
    if (source.sizeBytes > options.fileBytesMax) {
      throw new FilesError(
        'too-large',
        `${formatFileUrl(url)} has ${source.sizeBytes} bytes; the limit is ${options.fileBytesMax}`,
      )
    }
    await appendAll(part, offset, source, options)
  } catch (error) {
    source.abort(error instanceof Error ? error : new Error(messageOf(error)))
    throw error
  }
  const found = await fingerprint(part, { signal })
  const wanted = SHA3_HEX.test(url.name) ? url.name : found.sha3
  if (found.sizeBytes !== source.sizeBytes || found.sha3 !== wanted) {
    await rm(part, { force: true })
    throw new FilesError('integrity', `${formatFileUrl(url)} arrived damaged (sha3 ${found.sha3}); download it again`)
  }
  await rename(part, path).catch((error) => {
    throw fromDiskError(error, path)
  })
  return { url: formatFileUrl(url), sha3: found.sha3, sizeBytes: found.sizeBytes }
}

async function openSource(
  deps: Deps,
  owner: NodeId,
  url: FileUrl,
  offset: number,
  signal: AbortSignal,
): Promise<Source> {
  if (deps.net) {
    try {
      return await openGet(deps.net, url, offset, signal)
    } catch (error) {
      if (signal.aborted || isFinal(error)) throw error
      deps.logger.debug('no bulk stream; the file comes by messages', {
        url: formatFileUrl(url),
        error: messageOf(error),
      })
    }
  }
  const remote = createRemoteFile(deps.bus, owner, url)
  const sizeBytes = await remote.size(signal)
  return { sizeBytes, bytes: remote.read(Math.min(offset, sizeBytes), sizeBytes, signal), abort: () => {} }
}

/** The other node has answered: asking in another way would change nothing. */
function isFinal(error: unknown): boolean {
  return error instanceof FilesError && error.code !== 'failed' && error.code !== 'limit'
}

async function appendAll(part: string, offset: number, source: Source, options: TransferOptions): Promise<void> {
  const handle = await openFile(part, 'a')
  let written = offset
  try {
    for await (const piece of source.bytes) {
      options.signal?.throwIfAborted()
      written += piece.length
      if (written > source.sizeBytes) throw new FilesError('integrity', 'more bytes came than were announced')
      await handle.appendFile(piece)
      options.onProgress?.(written, source.sizeBytes)
    }
  } catch (error) {
    throw options.signal?.aborted ? error : fromDiskError(error, part)
  } finally {
    await handle.close()
  }
}

/** Copies the file at `path` to the URL that another node has opened. */
export async function uploadFile(
  deps: Deps,
  owner: NodeId,
  path: string,
  url: FileUrl,
  options: TransferOptions,
): Promise<PublishedFile> {
  const signal = options.signal ?? new AbortController().signal
  const { sha3, sizeBytes } = await fingerprint(path, { signal })
  const remote = createRemoteFile(deps.bus, owner, url)
  if (!(await uploadInBulk(deps, path, url, sizeBytes, signal, options))) {
    for await (const sent of remote.write(0, readFrom(path, 0), signal)) options.onProgress?.(sent, sizeBytes)
  }
  await remote.finish(sha3, signal)
  return { url: formatFileUrl(url), sha3, sizeBytes }
}

/** Returns false when the other node takes no bulk streams. */
async function uploadInBulk(
  { net, logger }: Deps,
  path: string,
  url: FileUrl,
  sizeBytes: number,
  signal: AbortSignal,
  { onProgress }: TransferOptions,
): Promise<boolean> {
  if (!net) return false
  try {
    const put = await openPut(net, url, signal)
    // What is there beyond our file's end is of another file; then all is sent again by messages.
    if (put.offset > sizeBytes) return false
    let sent = put.offset
    await put.send(readFrom(path, put.offset), (bytes) => {
      sent += bytes
      onProgress?.(sent, sizeBytes)
    })
    return true
  } catch (error) {
    if (signal.aborted || isFinal(error)) throw error
    logger.debug('no bulk stream; the file goes by messages', { url: formatFileUrl(url), error: messageOf(error) })
    return false
  }
}

/** Writes bytes to a new file and hashes them on the way. On failure nothing is left. */
export async function saveContent(
  path: string,
  content: AsyncIterable<Uint8Array>,
  { signal, fileBytesMax }: { signal?: AbortSignal | undefined; fileBytesMax: number },
): Promise<{ readonly sha3: string; readonly sizeBytes: number }> {
  const handle = await openFile(path, 'wx')
  const hash = createHash('sha3-256')
  let sizeBytes = 0
  try {
    for await (const piece of content) {
      signal?.throwIfAborted()
      sizeBytes += piece.length
      if (sizeBytes > fileBytesMax) throw new FilesError('too-large', `the file has more than ${fileBytesMax} bytes`)
      hash.update(piece)
      await handle.appendFile(piece)
    }
    await handle.close()
    return { sha3: hash.digest('hex'), sizeBytes }
  } catch (error) {
    await handle.close()
    await rm(path, { force: true })
    throw signal?.aborted ? error : fromDiskError(error, path)
  }
}
