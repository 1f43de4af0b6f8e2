/** The two ends of a file of another node: over a bulk stream where that one is Emet and has the file, else by messages. */
import { type Logger, messageOf, type NodeId } from '@emet/core'
import { openGet, openPut } from './bulk.ts'
import { FilesError } from './errors.ts'
import { createRemoteFile } from './gftp-client.ts'
import type { FilesDeps } from './types.ts'
import { type FileUrl, formatFileUrl } from './url.ts'

export type RemoteDeps = Pick<FilesDeps, 'bus' | 'net'> & { readonly logger: Logger }

/** Another node's file, to read. */
export type RemoteSource = {
  readonly sizeBytes: number
  /** The bytes from the offset on that was asked for. */
  readonly bytes: AsyncIterable<Uint8Array>
  abort(reason: Error): void
}

/** Another node's URL, to write. */
export type RemoteTarget = {
  /** Where it wants to go on. */
  readonly offset: number
  /** Sends the bytes from there on, and yields how much of the file has gone. */
  write(bytes: AsyncIterable<Uint8Array>): AsyncIterable<number>
  abort(reason: Error): void
}

/** Opens the file behind `url` for `owner`, or for this node itself. Throws `FilesError`. */
export async function openSource(
  deps: RemoteDeps,
  owner: NodeId | undefined,
  url: FileUrl,
  offset: number,
  signal: AbortSignal,
): Promise<RemoteSource> {
  const { net } = deps
  const inBulk = net && (await tryBulk(deps, url, signal, () => openGet(net, url, offset, signal)))
  if (inBulk) return inBulk
  const remote = createRemoteFile(deps.bus, owner, url)
  const sizeBytes = await remote.size(signal)
  return { sizeBytes, bytes: remote.read(Math.min(offset, sizeBytes), sizeBytes, signal), abort: () => {} }
}

/** Opens `url` for an upload by `owner`, or by this node itself. Throws `FilesError`. */
export async function openTarget(
  deps: RemoteDeps,
  owner: NodeId | undefined,
  url: FileUrl,
  signal: AbortSignal,
): Promise<RemoteTarget> {
  const { net } = deps
  const inBulk = net && (await tryBulk(deps, url, signal, () => openPut(net, url, signal)))
  if (inBulk) return inBulk
  const remote = createRemoteFile(deps.bus, owner, url)
  return { offset: 0, write: (bytes) => remote.write(0, bytes, signal), abort: () => {} }
}

/** Undefined when messages should be tried instead. */
async function tryBulk<T>(
  { logger }: RemoteDeps,
  url: FileUrl,
  signal: AbortSignal,
  open: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await open()
  } catch (error) {
    if (signal.aborted || isFinal(error)) throw error
    logger.debug('no bulk stream; the file goes by messages', { url: formatFileUrl(url), error: messageOf(error) })
    return undefined
  }
}

/**
 * The other node has answered: asking in another way would change nothing. Not so when it does not know the file: a REST
 * client of it may serve that, by messages.
 */
export function isFinal(error: unknown): boolean {
  return error instanceof FilesError && !['failed', 'limit', 'not-found'].includes(error.code)
}
