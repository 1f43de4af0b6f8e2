/**
 * Files in volumes. The guest makes what is in there, so no link is ever followed: each folder of a path is opened by
 * itself, without following, from the one before it (through `/proc/self/fd`, as Node has no `openat`); what a guest
 * swaps meanwhile cannot lead out.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises'
import { posix } from 'node:path'
import { ExeUnitError } from '../errors.ts'
import type { Volume } from '../runtime.ts'
import type { Sink, Source } from './types.ts'

/** Folders in one path. */
export const PATH_DEPTH_MAX = 64
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const CHUNK_BYTES = 256 * 1024
const PART_SUFFIX = '.emet-part'

/** A folder that is open, whose entries can be named safely. */
export type OpenFolder = { readonly handle: FileHandle; entry(name: string): string }

/** Where a container path is: the volume's folder and the components below it. Fails with `not-found`. */
export function locate(path: string, volumes: readonly Volume[]): { root: string; parts: string[] } {
  if (path.includes('\0')) throw new ExeUnitError('bad-request', 'a container path contains a zero byte')
  const full = posix.join('/', path)
  const volume = volumes
    .filter((it) => full === it.path || full.startsWith(it.path === '/' ? '/' : `${it.path}/`))
    .sort((a, b) => b.path.length - a.path.length)[0]
  if (!volume) {
    const known = volumes.map((it) => it.path).join(', ') || 'none'
    throw new ExeUnitError('not-found', `path not found in container: ${full} is in no volume (volumes: ${known})`)
  }
  const parts = full.slice(volume.path.length).split('/').filter(Boolean)
  if (parts.length > PATH_DEPTH_MAX) throw new ExeUnitError('bad-request', `${full} has over ${PATH_DEPTH_MAX} folders`)
  return { root: volume.hostFolder, parts }
}

/** Opens the folder at `parts` below `root`, made if `isMade`. The caller closes the handle. */
export async function openFolder(root: string, parts: readonly string[], isMade: boolean): Promise<OpenFolder> {
  let folder = asFolder(await open(root, O_RDONLY | O_DIRECTORY))
  for (const part of parts) {
    try {
      const next = await openNext(folder, part, isMade)
      await folder.handle.close()
      folder = next
    } catch (error) {
      await folder.handle.close()
      throw explain(error, parts.join('/'))
    }
  }
  return folder
}

async function openNext(folder: OpenFolder, part: string, isMade: boolean): Promise<OpenFolder> {
  const path = folder.entry(part)
  if (isMade) await mkdir(path).catch(ignoreExisting)
  return asFolder(await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
}

/** Opens a regular file for reading. The caller closes it. */
export async function openRegular(folder: OpenFolder, name: string): Promise<FileHandle> {
  // O_NONBLOCK: a pipe that the guest has put there must not hold us.
  const file = await open(folder.entry(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error) => {
    throw explain(error, name)
  })
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new ExeUnitError('path-escape', `${name} is no regular file`)
}

/** Writes a file under a temporary name and renames it when it is whole; the old one, if any, is replaced. */
export async function writeRegular(
  folder: OpenFolder,
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  mode = 0o644,
): Promise<void> {
  const part = `.${name.slice(0, 200)}${PART_SUFFIX}`
  await unlink(folder.entry(part)).catch(() => {})
  const file = await open(folder.entry(part), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    await writeEach(file, bytes)
    await file.close()
    await rename(folder.entry(part), folder.entry(name))
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(folder.entry(part)).catch(() => {})
    throw explain(error, name)
  }
}

/** Reads an open file from `offset` to its end. */
export async function* readHandle(file: FileHandle, offset: number): AsyncIterable<Uint8Array> {
  // The next piece is read while the one before is used.
  const read = (at: number) => file.read(Buffer.allocUnsafeSlow(CHUNK_BYTES), 0, CHUNK_BYTES, at)
  let at = offset
  let next = read(at)
  try {
    for (;;) {
      const { bytesRead, buffer } = await next
      if (bytesRead === 0) return
      at += bytesRead
      next = read(at)
      // Whoever waits for it sees the failure.
      next.catch(() => {})
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    // The file must not be closed under a read.
    await next.catch(() => {})
  }
}

/** Writes one piece while the next one comes. */
async function writeEach(file: FileHandle, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  let writing = Promise.resolve()
  try {
    for await (const chunk of bytes) {
      await writing
      writing = writeAll(file, chunk)
      writing.catch(() => {})
    }
  } finally {
    await writing
  }
}

/** A file in a volume, to read. */
export function containerSource(path: string, volumes: readonly Volume[]): Source {
  const withFile = async <T>(use: (file: FileHandle) => Promise<T>): Promise<T> => {
    const { folder, name } = await openParent(path, volumes, false)
    try {
      await using file = await openRegular(folder, name)
      return await use(file)
    } finally {
      await folder.handle.close()
    }
  }
  return {
    size: () => withFile(async (file) => (await file.stat()).size),
    read: async function* (offset) {
      const { folder, name } = await openParent(path, volumes, false)
      await using _folder = folder.handle
      await using file = await openRegular(folder, name)
      yield* readHandle(file, offset)
    },
  }
}

/** A file in a volume, to write; its folders are made. */
export function containerSink(path: string, volumes: readonly Volume[]): Sink {
  return {
    write: async (bytes) => {
      const { folder, name } = await openParent(path, volumes, true)
      await using _folder = folder.handle
      await writeRegular(folder, name, bytes)
    },
  }
}

async function openParent(path: string, volumes: readonly Volume[], isMade: boolean) {
  const { root, parts } = locate(path, volumes)
  const name = parts.at(-1)
  if (name === undefined || path.endsWith('/')) {
    throw new ExeUnitError('bad-request', `${path} is a folder; name a file, or give the format of an archive`)
  }
  return { folder: await openFolder(root, parts.slice(0, -1), isMade), name }
}

function asFolder(handle: FileHandle): OpenFolder {
  return { handle, entry: (name) => `/proc/self/fd/${handle.fd}/${name}` }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/** What the operating system says, in terms of the container. */
export function explain(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENOENT') return new ExeUnitError('not-found', `path not found in container: ${path}`, { path })
  if (code === 'ELOOP' || code === 'ENOTDIR') {
    return new ExeUnitError('path-escape', `${path} goes through a link or a file; links are not followed`, { path })
  }
  if (code === 'EISDIR') return new ExeUnitError('bad-request', `${path} is a folder; give the format of an archive`)
  if (code === 'ENOSPC') return new ExeUnitError('limit', `no space left for ${path}`, { path })
  return error
}
