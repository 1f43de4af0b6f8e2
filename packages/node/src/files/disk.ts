/** Reading and writing files, with failures that name the path. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { isAbsolute, resolve } from 'node:path'
import type { AbortOptions, Clock } from '@emet/core'
import { FilesError, fromDiskError } from './errors.ts'
import { BULK_READ_BYTES, OPEN_FILE_IDLE_MS, OPEN_FILES_MAX, PATH_LENGTH_MAX } from './options.ts'

/** What a file is, by its content. */
export type Fingerprint = { readonly sha3: string; readonly sizeBytes: number; readonly modifiedMs: number }

/** The path in its plain form. Throws `bad-request`: the daemon's folder is not the caller's. */
export function checkPath(path: string): string {
  if (isAbsolute(path) && path.length <= PATH_LENGTH_MAX && !path.includes('\0')) return resolve(path)
  throw new FilesError('bad-request', `path: ${JSON.stringify(path.slice(0, 200))} is not absolute; give the full path`)
}

/** Reads a file once and hashes it. Golem wire: sha3-256. */
export async function fingerprint(path: string, { signal }: AbortOptions): Promise<Fingerprint> {
  const handle = await openFile(path, 'r')
  try {
    const before = await handle.stat()
    if (!before.isFile()) throw new FilesError('bad-request', `${path} is no file`)
    const hash = createHash('sha3-256')
    let sizeBytes = 0
    const stream = handle.createReadStream({ autoClose: false, highWaterMark: BULK_READ_BYTES, start: 0 })
    for await (const piece of stream) {
      signal?.throwIfAborted()
      hash.update(piece)
      sizeBytes += piece.length
    }
    return { sha3: hash.digest('hex'), sizeBytes, modifiedMs: before.mtimeMs }
  } catch (error) {
    throw signal?.aborted ? error : fromDiskError(error, path)
  } finally {
    await handle.close()
  }
}

/** Opens a file. Throws `FilesError`. */
export async function openFile(path: string, flags: string): Promise<FileHandle> {
  try {
    return await open(path, flags)
  } catch (error) {
    throw fromDiskError(error, path)
  }
}

/** The bytes of a file from `offset` on. */
export async function* readFrom(path: string, offset: number): AsyncIterable<Uint8Array> {
  try {
    yield* createReadStream(path, { start: offset, highWaterMark: BULK_READ_BYTES })
  } catch (error) {
    throw fromDiskError(error, path)
  }
}

/** Open files, kept for the next chunk. */
export type HandleCache = {
  /** Runs `work` with the open file; it stays open for a while. */
  use<T>(path: string, flags: string, work: (handle: FileHandle) => Promise<T>): Promise<T>
  /** Closes the file, once nothing uses it. */
  drop(path: string): Promise<void>
  dropAll(): Promise<void>
}

type Held = { readonly handle: Promise<FileHandle>; users: number; isDropped: boolean; cancelTimer: () => void }

/** Holds at most `OPEN_FILES_MAX` idle files, each for `OPEN_FILE_IDLE_MS`. */
export function createHandleCache(clock: Clock): HandleCache {
  const held = new Map<string, Held>()

  const close = async (entry: Held): Promise<void> => {
    entry.cancelTimer()
    await entry.handle.then((handle) => handle.close()).catch(() => {})
  }
  const drop = async (path: string): Promise<void> => {
    const entry = held.get(path)
    if (!entry) return
    held.delete(path)
    entry.isDropped = true
    if (entry.users === 0) await close(entry)
  }
  const makeRoom = () => {
    if (held.size < OPEN_FILES_MAX) return
    for (const [path, entry] of held) {
      if (entry.users > 0) continue
      void drop(path)
      return
    }
  }
  return {
    use: async (path, flags, work) => {
      let entry = held.get(path)
      if (!entry) {
        makeRoom()
        entry = { handle: openFile(path, flags), users: 0, isDropped: false, cancelTimer: () => {} }
        held.set(path, entry)
      }
      entry.users++
      entry.cancelTimer()
      try {
        return await work(await entry.handle)
      } catch (error) {
        if (held.get(path) === entry) held.delete(path)
        entry.isDropped = true
        throw fromDiskError(error, path)
      } finally {
        entry.users--
        if (entry.users === 0 && entry.isDropped) await close(entry)
        else if (entry.users === 0) entry.cancelTimer = clock.setTimer(OPEN_FILE_IDLE_MS, () => void drop(path))
      }
    },
    drop,
    dropAll: async () => {
      await Promise.all([...held.keys()].map(drop))
    },
  }
}
