/**
 * Fetched images by digest, shared by all activities of this provider. An image appears under its name only when it is
 * whole and verified; over the size budget those not used for longest go.
 */
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Clock, type Random, randomHexId } from '@emet/core'
import type { ExpectedHash } from './url.ts'

/** All images together, unless the provider says otherwise. */
export const CACHE_BYTES_MAX = 20 * 2 ** 30
/** A half-fetched image that nobody has touched for so long was left by a crash. */
const STALE_PART_MS = 24 * 3_600_000

export interface ImageCache {
  find(hash: ExpectedHash): Promise<string | undefined>
  /** Stores bytes that end without an error; `bytes` must verify them. Returns the file. */
  store(hash: ExpectedHash, bytes: AsyncIterable<Uint8Array>): Promise<string>
}

export function createImageCache(
  deps: { readonly clock: Clock; readonly random: Random },
  options: { readonly folder: string; readonly bytesMax?: number | undefined },
): ImageCache {
  const images = join(options.folder, 'images')
  const parts = join(options.folder, 'tmp')
  const fileOf = ({ algorithm, hex }: ExpectedHash) => join(images, `${algorithm}-${hex}`)
  const touch = async (file: string) => {
    const now = deps.clock.nowMs() / 1000
    await utimes(file, now, now)
  }
  const find = async (hash: ExpectedHash) => {
    const file = fileOf(hash)
    return touch(file).then(
      () => file,
      () => undefined,
    )
  }
  const store = async (hash: ExpectedHash, bytes: AsyncIterable<Uint8Array>) => {
    await mkdir(images, { recursive: true })
    await mkdir(parts, { recursive: true })
    const part = join(parts, randomHexId(deps.random))
    try {
      await pipeline(Readable.from(bytes), createWriteStream(part))
      await rename(part, fileOf(hash))
    } finally {
      await rm(part, { force: true })
    }
    await touch(fileOf(hash))
    await removeStale(parts, deps.clock.nowMs() - STALE_PART_MS)
    await shrink(images, options.bytesMax ?? CACHE_BYTES_MAX, fileOf(hash))
    return fileOf(hash)
  }
  return { find, store }
}

type CachedFile = { readonly path: string; readonly size: number; readonly usedMs: number }

async function filesIn(folder: string): Promise<CachedFile[]> {
  const names = await readdir(folder)
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name)
      return stat(path).then(
        ({ size, mtimeMs }) => ({ path, size, usedMs: mtimeMs }),
        () => undefined,
      )
    }),
  )
  return files.filter((file) => file !== undefined)
}

async function removeStale(folder: string, beforeMs: number): Promise<void> {
  for (const { path, usedMs } of await filesIn(folder)) if (usedMs < beforeMs) await rm(path, { force: true })
}

async function shrink(folder: string, bytesMax: number, kept: string): Promise<void> {
  const files = (await filesIn(folder)).sort((a, b) => a.usedMs - b.usedMs)
  let bytes = files.reduce((sum, { size }) => sum + size, 0)
  for (const { path, size } of files) {
    if (bytes <= bytesMax) return
    if (path === kept) continue
    await rm(path, { force: true })
    bytes -= size
  }
}
