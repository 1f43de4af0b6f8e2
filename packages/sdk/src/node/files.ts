import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, posix, relative, resolve, sep } from 'node:path'
import type { Payload, Rental, TransferOptions } from '../types.ts'
import { FOLDER_FILES_MAX, unpackTar } from './unpack.ts'

/** A WASM module, or a package of modules, in a file of this machine. */
export function wasmPayload(path: string, runtime?: string): Payload {
  return { path: resolve(path), ...(runtime === undefined ? {} : { runtime }) }
}

/** Copies a file to the rented machine. */
export function putFile(rental: Rental, from: string, to: string, options?: TransferOptions): Promise<void> {
  return rental.put({ path: resolve(from) }, to, options)
}

/** Fetches a file from the rented machine. */
export function getFile(rental: Rental, from: string, to: string, options?: TransferOptions): Promise<void> {
  return rental.getTo(from, { path: resolve(to) }, options)
}

/** Copies a folder with all files in it. Links are not followed. Resolves to the number of files. */
export async function putFolder(rental: Rental, from: string, to: string, options?: TransferOptions): Promise<number> {
  const root = resolve(from)
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  if (files.length > FOLDER_FILES_MAX)
    throw new RangeError(`${from} has ${files.length} files, at most ${FOLDER_FILES_MAX} are copied`)
  const pairs = files.map((path) => ({ path, to: posix.join(to, relative(root, path).split(sep).join('/')) }))
  await rental.putAll(pairs, options)
  return files.length
}

/** Fetches a folder with all files in it, as one archive that is unpacked here. Resolves to the number of files. */
export async function getFolder(rental: Rental, from: string, to: string, options?: TransferOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'emet-folder-'))
  try {
    const archive = join(folder, 'folder.tar')
    await rental.getTo(from, { path: archive }, { ...options, format: 'tar' })
    await mkdir(resolve(to), { recursive: true })
    return await unpackTar(createReadStream(archive), resolve(to))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
