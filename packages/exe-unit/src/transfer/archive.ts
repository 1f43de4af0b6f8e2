/**
 * Folders as archives: `tar`, `tar.gz`, `zip` and `zip.0` (stored). Packing takes files and folders only; unpacking takes
 * no links and no names that lead out, and stops at the limits below whatever the archive claims.
 */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { type FileHandle, mkdtemp, opendir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, matchesGlob, posix } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { messageOf } from '@emet/core'
import { extract, pack } from 'tar-stream'
import { openPromise } from 'yauzl'
import { ZipFile } from 'yazl'
import { ExeUnitError } from '../errors.ts'
import type { Volume } from '../runtime.ts'
import type { FileSet } from '../script.ts'
import { locate, openFolder, openRegular, readHandle, writeRegular } from './container.ts'
import type { Sink, Source } from './types.ts'

/** Entries of one archive. */
export const ARCHIVE_ENTRIES_MAX = 100_000
/** Unpacked bytes of one archive. */
export const ARCHIVE_BYTES_MAX = 64 * 2 ** 30
/** Folders in folders. */
const DEPTH_MAX = 64
const FILE_MODE = 0o755

const FORMATS = ['tar', 'tar.gz', 'zip', 'zip.0'] as const
export type ArchiveFormat = (typeof FORMATS)[number]

/** Parses a transfer's `format`. Fails with `bad-request`. */
export function parseFormat(text: string): ArchiveFormat {
  const format = FORMATS.find((known) => known === text.toLowerCase())
  if (format) return format
  throw new ExeUnitError('bad-request', `the format ${JSON.stringify(text)} is not one of ${FORMATS.join(', ')}`)
}

export type FolderOptions = { readonly depth: number | undefined; readonly fileSet: FileSet | undefined }

/** A folder of a volume as an archive. Its size is not known before. */
export function folderSource(
  path: string,
  volumes: readonly Volume[],
  format: ArchiveFormat,
  options: FolderOptions,
): Source {
  const { root, parts } = locate(path, volumes)
  return {
    size: async () => undefined,
    read: (offset) => {
      if (offset > 0) throw new ExeUnitError('transfer-failed', 'an archive made on the way cannot be resumed')
      const files = walk(root, parts, [], options)
      return format.startsWith('zip') ? packZip(files, format === 'zip') : packTar(files, format === 'tar.gz')
    },
  }
}

type FoundFile = { readonly name: string; open(): Promise<FileHandle> }

async function* walk(
  root: string,
  parts: readonly string[],
  below: readonly string[],
  options: FolderOptions,
): AsyncGenerator<FoundFile> {
  const folder = await openFolder(root, [...parts, ...below], false)
  await using _folder = folder.handle
  for await (const entry of await opendir(`/proc/self/fd/${folder.handle.fd}`)) {
    const path = [...below, entry.name]
    const isDeepEnough = path.length > Math.min(options.depth ?? DEPTH_MAX, DEPTH_MAX)
    if (entry.isDirectory() && !isDeepEnough) yield* walk(root, parts, path, options)
    if (entry.isFile() && isWanted(path.join('/'), options.fileSet)) {
      yield { name: path.join('/'), open: () => openRegular(folder, entry.name) }
    }
  }
}

function isWanted(name: string, fileSet: FileSet | undefined): boolean {
  if (!fileSet) return true
  const matches = (pattern: string) => matchesGlob(name, pattern)
  return fileSet.includes.some(matches) && !fileSet.excludes.some(matches)
}

async function* packTar(files: AsyncIterable<FoundFile>, isZipped: boolean): AsyncIterable<Uint8Array> {
  const tar = pack()
  const fill = async () => {
    for await (const found of files) {
      await using file = await found.open()
      const { size, mtime } = await file.stat()
      const entry = tar.entry({ name: found.name, size, mtime, mode: FILE_MODE })
      await pipeline(Readable.from(exactly(readHandle(file, 0), size)), entry)
    }
    tar.finalize()
  }
  fill().catch((error) => tar.destroy(error))
  yield* (isZipped ? tar.pipe(createGzip()) : tar) as AsyncIterable<Uint8Array>
}

/** A file that changes while it is packed is cut or filled up, as the archive has its size already. */
async function* exactly(bytes: AsyncIterable<Uint8Array>, size: number): AsyncIterable<Uint8Array> {
  let left = size
  for await (const chunk of bytes) {
    const part = chunk.subarray(0, left)
    left -= part.length
    if (part.length > 0) yield part
    if (left === 0) return
  }
  if (left > 0) yield Buffer.alloc(left)
}

async function* packZip(files: AsyncIterable<FoundFile>, compress: boolean): AsyncIterable<Uint8Array> {
  const zip = new ZipFile()
  const fill = async () => {
    for await (const found of files) {
      const file = await found.open()
      const bytes = Readable.from(readHandle(file, 0))
      const closed = new Promise((resolve) => bytes.once('close', resolve))
      zip.addReadStream(bytes, found.name, { mode: 0o100000 | FILE_MODE, compress, mtime: (await file.stat()).mtime })
      await closed
      await file.close()
    }
    zip.end()
  }
  fill().catch((error) => (zip.outputStream as Readable).destroy(error))
  yield* zip.outputStream as AsyncIterable<Uint8Array>
}

/** A folder of a volume that takes an archive and unpacks it. */
export function folderSink(path: string, volumes: readonly Volume[], format: ArchiveFormat): Sink {
  const { root, parts } = locate(path, volumes)
  const counter = createCounter()
  const put = async (name: string, isFolder: boolean, bytes: AsyncIterable<Uint8Array>) => {
    const below = safeParts(name)
    counter.entry(name)
    const folder = await openFolder(root, [...parts, ...(isFolder ? below : below.slice(0, -1))], true)
    await using _folder = folder.handle
    const last = below.at(-1)
    if (!isFolder && last !== undefined) await writeRegular(folder, last, counter.count(bytes, name), FILE_MODE)
  }
  const write = format.startsWith('zip') ? unpackZip : unpackTar
  return {
    write: (bytes) =>
      write(bytes, put, format === 'tar.gz').catch((error) => {
        throw error instanceof ExeUnitError
          ? error
          : new ExeUnitError('transfer-failed', `the archive cannot be unpacked: ${messageOf(error)}`)
      }),
  }
}

type Put = (name: string, isFolder: boolean, bytes: AsyncIterable<Uint8Array>) => Promise<void>

async function unpackTar(bytes: AsyncIterable<Uint8Array>, put: Put, isZipped: boolean): Promise<void> {
  const entries = extract()
  const source = Readable.from(bytes)
  const feeding = isZipped ? pipeline(source, createGunzip(), entries) : pipeline(source, entries)
  feeding.catch(() => {})
  for await (const entry of entries) {
    const { name, type } = entry.header
    if (type === 'file' || type === 'directory')
      await put(name, type === 'directory', entry as AsyncIterable<Uint8Array>)
    else entry.resume()
  }
  await feeding
}

/** A zip's table of contents is at its end, so it is spooled to disk first. */
async function unpackZip(bytes: AsyncIterable<Uint8Array>, put: Put): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'emet-zip-'))
  try {
    const spool = join(folder, randomUUID())
    await pipeline(Readable.from(bytes), createWriteStream(spool))
    const zip = await openPromise(spool, { autoClose: false })
    try {
      for await (const entry of zip.eachEntry()) {
        const isLink = ((entry.externalFileAttributes >>> 16) & 0o170000) === 0o120000
        if (isLink) continue
        const isFolder = entry.fileName.endsWith('/')
        await put(entry.fileName, isFolder, isFolder ? Readable.from([]) : await zip.openReadStreamPromise(entry))
      }
    } finally {
      zip.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function safeParts(name: string): string[] {
  const parts = posix
    .normalize(name)
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) {
    throw new ExeUnitError(
      'path-escape',
      `the archive has the entry ${JSON.stringify(name)}, which leads out of its folder`,
    )
  }
  return parts
}

function createCounter() {
  let entries = 0
  let total = 0
  return {
    entry: (name: string) => {
      if (++entries <= ARCHIVE_ENTRIES_MAX) return
      throw new ExeUnitError('limit', `the archive has more than ${ARCHIVE_ENTRIES_MAX} entries, at ${name}`)
    },
    count: async function* (bytes: AsyncIterable<Uint8Array>, name: string) {
      for await (const chunk of bytes) {
        total += chunk.length
        if (total > ARCHIVE_BYTES_MAX) {
          throw new ExeUnitError('limit', `the archive unpacks to more than ${ARCHIVE_BYTES_MAX} bytes, at ${name}`)
        }
        yield chunk
      }
    },
  }
}
