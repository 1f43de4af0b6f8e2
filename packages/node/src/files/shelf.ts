/** The files behind this node's URLs: reads of what is published, writes of what is received. For peers and for REST. */
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Coverage, createCoverage } from './coverage.ts'
import { fingerprint, type HandleCache, openFile } from './disk.ts'
import { FilesError, fromDiskError } from './errors.ts'
import { CHUNK_BYTES_MAX, type FilesOptions } from './options.ts'
import type { FileStore } from './store.ts'
import type { FileRecord } from './types.ts'

export type Shelf = {
  /** The published file, checked to be unchanged. Throws `not-found` or `changed`. */
  published(name: string): Promise<FileRecord & { readonly sizeBytes: number }>
  /** The bytes at `offset`, fewer at the end. */
  read(name: string, offset: number, sizeBytes: number): Promise<Uint8Array>
  /** Counts bytes that were read past the shelf. */
  countRead(name: string, bytes: number): void
  /** Writes into the file that is being received. */
  write(name: string, offset: number, content: Uint8Array): Promise<void>
  /** The upload is complete: checks it and puts the file in place. Saying so twice is harmless. Throws `integrity`. */
  finish(name: string, sha3: string | undefined): Promise<void>
  /** Bytes read of, or written to, the URL since the daemon has started. */
  transferred(name: string): number
  /** How much of an upload is here from its start without a gap, for one that is continued. */
  receivedFromStart(name: string): Promise<number>
  forget(record: FileRecord): Promise<void>
}

/** Where an upload is written until it is complete. */
export function partOf(path: string): string {
  return `${path}.part`
}

/** The shelf over the store. */
export function createShelf(
  store: FileStore,
  handles: HandleCache,
  options: Pick<FilesOptions, 'fileBytesMax'>,
): Shelf {
  const counts = new Map<string, number>()
  const uploads = new Map<string, Coverage>()
  const hashes = new Map<string, RunningHash>()
  const prepared = new Map<string, Promise<void>>()
  const count = (name: string, bytes: number) => void counts.set(name, (counts.get(name) ?? 0) + bytes)

  const published: Shelf['published'] = async (name) => {
    const record = store.byName(name)
    if (!record?.sha3 || record.sizeBytes === null) throw notFound(name)
    const { path, sizeBytes, modifiedMs, direction } = record
    if (direction === 'receive') return { ...record, sizeBytes }
    const now = await stat(path).catch((error) => {
      throw fromDiskError(error, path)
    })
    if (now.size === sizeBytes && now.mtimeMs === modifiedMs) return { ...record, sizeBytes }
    throw new FilesError('changed', `${path} has changed since it was published; publish it again`, { name })
  }
  const read: Shelf['read'] = async (name, offset, wanted) => {
    const { path, sizeBytes } = await published(name)
    if (offset > sizeBytes) throw new FilesError('bad-request', `the offset ${offset} is beyond the end, ${sizeBytes}`)
    const buffer = new Uint8Array(Math.min(wanted, CHUNK_BYTES_MAX, sizeBytes - offset))
    const { bytesRead } = await handles.use(path, 'r', (handle) => handle.read(buffer, 0, buffer.length, offset))
    count(name, bytesRead)
    return buffer.subarray(0, bytesRead)
  }
  const receiving = (name: string): FileRecord => {
    const record = store.byName(name)
    if (record?.direction !== 'receive') throw notFound(name)
    if (record.state !== 'done') return record
    throw new FilesError('bad-request', 'the file has been received already; open another URL', { name })
  }
  /** Makes room for an upload, once: later chunks wait for the first. After a restart it is continued. */
  const prepare = (record: FileRecord): Promise<void> => {
    const { name, path, state } = record
    const work = async () => {
      await mkdir(dirname(path), { recursive: true })
      await (await openFile(partOf(path), state === 'transferring' ? 'a' : 'w')).close()
      if (state !== 'transferring')
        store.update(name, { state: 'transferring', sizeBytes: null, sha3: null, message: null })
    }
    const ready = prepared.get(name) ?? work()
    prepared.set(name, ready)
    ready.catch(() => prepared.delete(name))
    return ready.catch((error) => {
      throw fromDiskError(error, path)
    })
  }
  const write: Shelf['write'] = async (name, offset, content) => {
    const record = receiving(name)
    if (offset + content.length > options.fileBytesMax) {
      throw new FilesError('too-large', `the file has more than ${options.fileBytesMax} bytes`, { name })
    }
    const coverage = uploads.get(name) ?? createCoverage()
    coverage.add(offset, offset + content.length)
    uploads.set(name, coverage)
    const running = hashes.get(name) ?? createRunningHash()
    hashes.set(name, running)
    running.add(offset, content)
    await prepare(record)
    await handles.use(partOf(record.path), 'r+', (handle) => handle.write(content, 0, content.length, offset))
    count(name, content.length)
  }
  const finish: Shelf['finish'] = async (name, sha3) => {
    const known = store.byName(name)
    if (known?.state === 'done' && (sha3 === undefined || sha3 === known.sha3)) return
    const record = receiving(name)
    const part = partOf(record.path)
    await prepare(record)
    await handles.drop(part)
    const found = hashes.get(name)?.result(uploads.get(name)) ?? (await fingerprint(part, {}))
    hashes.delete(name)
    const isWhole =
      sha3 === undefined ? (uploads.get(name)?.isComplete() ?? found.sizeBytes === 0) : sha3 === found.sha3
    uploads.delete(name)
    prepared.delete(name)
    if (!isWhole) {
      await rm(part, { force: true })
      const message = sha3 === undefined ? 'parts of it did not come' : `its hash is ${found.sha3}, not ${sha3}`
      store.update(name, { state: 'failed', sizeBytes: null, sha3: null, message })
      throw new FilesError('integrity', `the upload is damaged: ${message}; send it again`, { name })
    }
    await rename(part, record.path).catch((error) => {
      throw fromDiskError(error, record.path)
    })
    store.update(name, { state: 'done', sizeBytes: found.sizeBytes, sha3: found.sha3, message: null })
  }
  return {
    published,
    read,
    countRead: count,
    write,
    finish,
    transferred: (name) => counts.get(name) ?? 0,
    receivedFromStart: async (name) => {
      const record = receiving(name)
      const coverage = uploads.get(name)
      if (coverage) return coverage.isComplete() ? coverage.total : 0
      // After a restart: what is on disk came in order over a bulk stream, or will fail its hash.
      const part = await stat(partOf(record.path)).catch(() => undefined)
      uploads.set(name, createCoverage(part?.size ?? 0))
      return part?.size ?? 0
    },
    forget: async (record) => {
      counts.delete(record.name)
      uploads.delete(record.name)
      hashes.delete(record.name)
      prepared.delete(record.name)
      await handles.drop(record.path)
      await handles.drop(partOf(record.path))
      if (record.direction === 'receive') await rm(partOf(record.path), { force: true })
      if (record.isKept) await rm(record.path, { force: true })
    },
  }
}

/** Hashes an upload as it comes, so that it need not be read again. */
type RunningHash = {
  add(offset: number, content: Uint8Array): void
  /** Undefined when not everything came in order. */
  result(coverage: Coverage | undefined): { readonly sha3: string; readonly sizeBytes: number } | undefined
}

function createRunningHash(): RunningHash {
  const hash = createHash('sha3-256')
  let sizeBytes = 0
  let isInOrder = true
  return {
    add: (offset, content) => {
      isInOrder &&= offset === sizeBytes
      if (!isInOrder) return
      hash.update(content)
      sizeBytes += content.length
    },
    result: (coverage) =>
      isInOrder && coverage?.isComplete() && coverage.total === sizeBytes
        ? { sha3: hash.digest('hex'), sizeBytes }
        : undefined,
  }
}

function notFound(name: string): FilesError {
  return new FilesError('not-found', `nothing is published or received as ${name.slice(0, 128)}`, { name })
}
