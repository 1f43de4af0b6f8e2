/** Downloads and uploads between this node and others: over a bulk stream where the other is Emet, else by messages. */
import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { messageOf, type NodeId } from '@emet/core'
import { fingerprint, openFile, readFrom } from './disk.ts'
import { FilesError, fromDiskError } from './errors.ts'
import { createRemoteFile } from './gftp-client.ts'
import type { FilesOptions } from './options.ts'
import { isFinal, openSource, openTarget, type RemoteDeps, type RemoteSource } from './remote.ts'
import { partOf } from './shelf.ts'
import type { PublishedFile, TransferOptions } from './types.ts'
import { type FileUrl, formatFileUrl } from './url.ts'

/** What came, hashed on the way. */
type Content = { readonly sha3: string; readonly sizeBytes: number }

const SHA3_HEX = /^[0-9a-f]{64}$/

/** Copies the file behind `url` to `path`, going on where an earlier attempt has stopped. */
export async function downloadFile(
  deps: RemoteDeps,
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
  let found: Content
  try {
    if (source.sizeBytes > options.fileBytesMax) {
      throw new FilesError(
        'too-large',
        `${formatFileUrl(url)} has ${source.sizeBytes} bytes; the limit is ${options.fileBytesMax}`,
      )
    }
    found = await appendAll(part, offset, source, options)
  } catch (error) {
    source.abort(error instanceof Error ? error : new Error(messageOf(error)))
    throw error
  }
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

/** Appends what comes to the part that is there, and returns what the whole is. */
async function appendAll(
  part: string,
  offset: number,
  source: RemoteSource,
  options: TransferOptions,
): Promise<Content> {
  const hash = createHash('sha3-256')
  if (offset > 0) for await (const piece of readFrom(part, 0)) hash.update(piece)
  const handle = await openFile(part, 'a')
  let sizeBytes = offset
  try {
    for await (const piece of source.bytes) {
      options.signal?.throwIfAborted()
      sizeBytes += piece.length
      if (sizeBytes > source.sizeBytes) throw new FilesError('integrity', 'more bytes came than were announced')
      await Promise.all([writeAll(handle, piece), hash.update(piece)])
      options.onProgress?.(sizeBytes, source.sizeBytes)
    }
    return { sha3: hash.digest('hex'), sizeBytes }
  } catch (error) {
    throw options.signal?.aborted ? error : fromDiskError(error, part)
  } finally {
    await handle.close()
  }
}

/** Copies the file at `path` to the URL that another node has opened. */
export async function uploadFile(
  deps: RemoteDeps,
  owner: NodeId,
  path: string,
  url: FileUrl,
  options: TransferOptions,
): Promise<PublishedFile> {
  const signal = options.signal ?? new AbortController().signal
  const { sha3, sizeBytes } = await fingerprint(path, { signal })
  const remote = createRemoteFile(deps.bus, owner, url)
  const tell = async (sending: AsyncIterable<number>) => {
    for await (const sent of sending) options.onProgress?.(sent, sizeBytes)
  }
  try {
    const target = await openTarget(deps, owner, url, signal)
    // What is there beyond our file's end is of another file.
    const offset = target.offset > sizeBytes ? undefined : target.offset
    if (offset === undefined) target.abort(new Error('the upload begins anew'))
    await tell(offset === undefined ? remote.write(0, readFrom(path, 0), signal) : target.write(readFrom(path, offset)))
  } catch (error) {
    if (signal.aborted || isFinal(error)) throw error
    deps.logger.debug('the bulk stream broke; the file goes by messages', {
      url: formatFileUrl(url),
      error: messageOf(error),
    })
    await tell(remote.write(0, readFrom(path, 0), signal))
  }
  await remote.finish(sha3, signal)
  return { url: formatFileUrl(url), sha3, sizeBytes }
}

/** Writes bytes to a new file and hashes them on the way. On failure nothing is left. */
export async function saveContent(
  path: string,
  content: AsyncIterable<Uint8Array>,
  { signal, fileBytesMax }: { signal?: AbortSignal | undefined; fileBytesMax: number },
): Promise<Content> {
  const handle = await openFile(path, 'wx')
  const hash = createHash('sha3-256')
  let sizeBytes = 0
  try {
    for await (const piece of content) {
      signal?.throwIfAborted()
      sizeBytes += piece.length
      if (sizeBytes > fileBytesMax) throw new FilesError('too-large', `the file has more than ${fileBytesMax} bytes`)
      await Promise.all([writeAll(handle, piece), hash.update(piece)])
    }
    await handle.close()
    return { sha3: hash.digest('hex'), sizeBytes }
  } catch (error) {
    await handle.close()
    await rm(path, { force: true })
    throw signal?.aborted ? error : fromDiskError(error, path)
  }
}

async function writeAll(handle: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten
}
