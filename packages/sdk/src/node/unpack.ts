import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { GolemError } from '../errors.ts'

/** Most files taken out of one archive that a provider has made. */
export const FOLDER_FILES_MAX = 100_000

/** Most bytes taken out of one archive that a provider has made. */
export const FOLDER_BYTES_MAX = 64 * 2 ** 30

/**
 * Unpacks an archive into a folder, and nowhere else. A provider has made it, so names that lead out of the folder are
 * refused, and links and devices are left out. Resolves to the number of files. Throws `GolemError`.
 */
export async function unpackTar(archive: Readable, folder: string, bytesMax = FOLDER_BYTES_MAX): Promise<number> {
  const entries = extract()
  const reading = pipeline(archive, entries)
  reading.catch(() => {})
  let files = 0
  let bytes = 0
  try {
    for await (const entry of entries) {
      const { name, type, size = 0 } = entry.header
      const path = join(folder, ...safeParts(name))
      bytes += size
      if (type === 'file' && (++files > FOLDER_FILES_MAX || bytes > bytesMax)) {
        throw badArchive(`it has more than ${FOLDER_FILES_MAX} files or ${bytesMax} bytes`)
      }
      if (type === 'directory') await mkdir(path, { recursive: true })
      if (type === 'file') {
        await mkdir(dirname(path), { recursive: true })
        await pipeline(entry, createWriteStream(path))
      } else entry.resume()
    }
    await reading
    return files
  } catch (error) {
    throw error instanceof GolemError ? error : badArchive('it cannot be read', error)
  }
}

function safeParts(name: string): string[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/') || name.includes('\0') || name.includes('\\') || parts.includes('..')) {
    throw badArchive(`it has a file ${JSON.stringify(name.slice(0, 200))}`)
  }
  return parts
}

function badArchive(said: string, cause?: unknown): GolemError {
  return new GolemError('transfer.failed', `the folder could not be unpacked: ${said}`, {
    phase: 'transfer',
    blame: 'provider',
    retryable: true,
    cause,
  })
}
