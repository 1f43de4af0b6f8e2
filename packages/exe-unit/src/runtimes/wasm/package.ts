/**
 * The image of the wasm runtime: a bare module, or Golem's WASI package, a zip with `manifest.json` in its root.
 *
 * Golem: `{"id","name","runtime"?,"entry-points":[{"id","wasm-path"}],"mount-points":[{"ro"|"rw"|"wo"|"private":path}]}`.
 * The access words of mount points are not enforced by the existing runtime, and neither are they here; `private`
 * means that the requestor cannot transfer into or out of it.
 */
import { createWriteStream } from 'node:fs'
import { copyFile, mkdir, open } from 'node:fs/promises'
import { basename, join, posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '@emet/core'
import { type Entry, openPromise, type ZipFile } from 'yauzl'
import { z } from 'zod'
import { RuntimeError } from '../../errors.ts'

/** Files in a package. */
export const PACKAGE_ENTRIES_MAX = 10_000
/** `manifest.json`. */
export const MANIFEST_BYTES_MAX = 256 * 1024
/** Unpacked modules of one image, together. */
export const MODULES_BYTES_MAX = 512 * 1024 * 1024
/** Entry points, and mount points, of one image. */
export const ENTRY_POINTS_MAX = 64

/** Folders that a bare module finds in its root. Anything else it may make itself. */
export const BARE_FOLDERS = ['input', 'output', 'work', 'tmp', 'golem/input', 'golem/output', 'golem/work'] as const

export type MountPoint = { readonly path: string; readonly isPrivate: boolean }

export type EntryPoint = {
  readonly id: string
  /** What the guest sees as its first argument. */
  readonly programName: string
  /** The unpacked module. */
  readonly file: string
}

export type WasmImage = {
  readonly kind: 'module' | 'package'
  readonly entryPoints: readonly EntryPoint[]
  readonly mountPoints: readonly MountPoint[]
}

const guestPath = z
  .string()
  .max(1024)
  .transform((path) => posix.join('/', path))
  .refine((path) => path !== '/' && !path.includes('\0'), 'a mount point must be a folder below /')

const mountPoint = z.union([
  z.object({ private: guestPath }).transform((it) => ({ path: it.private, isPrivate: true })),
  z.object({ rw: guestPath }).transform((it) => ({ path: it.rw, isPrivate: false })),
  z.object({ ro: guestPath }).transform((it) => ({ path: it.ro, isPrivate: false })),
  z.object({ wo: guestPath }).transform((it) => ({ path: it.wo, isPrivate: false })),
])

const manifestSchema = z.object({
  id: z.string().optional(),
  name: z.string().optional(),
  runtime: z.literal('wasi').optional(),
  'entry-points': z
    .array(z.object({ id: z.string().min(1).max(256), 'wasm-path': z.string().min(1).max(1024) }))
    .max(ENTRY_POINTS_MAX)
    .default([]),
  'mount-points': z.array(mountPoint).max(ENTRY_POINTS_MAX).default([]),
})

type Manifest = z.infer<typeof manifestSchema>

/** Reads an image and puts its modules into `folder`. Fails with `bad-image`. */
export async function unpackImage(imageFile: string, folder: string): Promise<WasmImage> {
  await mkdir(folder, { recursive: true })
  const magic = await firstBytes(imageFile, 8)
  if (magic.startsWith('0061736d')) return unpackModule(imageFile, folder, magic)
  if (magic.startsWith('504b')) return unpackPackage(imageFile, folder)
  throw badImage('it is neither a WebAssembly module nor a zip package')
}

async function unpackModule(imageFile: string, folder: string, magic: string): Promise<WasmImage> {
  if (magic.slice(8) !== '01000000')
    throw badImage('it is a component; this runtime takes core modules (WASI preview 1)')
  const file = join(folder, '0.wasm')
  await copyFile(imageFile, file)
  return { kind: 'module', entryPoints: [{ id: 'main', programName: 'main', file }], mountPoints: [] }
}

async function unpackPackage(imageFile: string, folder: string): Promise<WasmImage> {
  const zip = await openPromise(imageFile, { autoClose: false }).catch((error: unknown) => {
    throw badImage(`the zip cannot be read: ${messageOf(error)}`)
  })
  try {
    const entries = await entriesOf(zip)
    const manifest = await readManifest(zip, entries)
    const entryPoints = await unpackEntryPoints(zip, entries, manifest, folder)
    return { kind: 'package', entryPoints, mountPoints: manifest['mount-points'] }
  } catch (error) {
    throw error instanceof RuntimeError ? error : badImage(`the package cannot be unpacked: ${messageOf(error)}`)
  } finally {
    zip.close()
  }
}

async function entriesOf(zip: ZipFile): Promise<Map<string, Entry>> {
  if (zip.entryCount > PACKAGE_ENTRIES_MAX) throw badImage(`it has more than ${PACKAGE_ENTRIES_MAX} files`)
  const entries = new Map<string, Entry>()
  for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry)
  return entries
}

async function readManifest(zip: ZipFile, entries: Map<string, Entry>): Promise<Manifest> {
  const entry = entries.get('manifest.json')
  if (!entry) throw badImage('the zip has no manifest.json in its root')
  if (entry.uncompressedSize > MANIFEST_BYTES_MAX) throw badImage(`manifest.json is over ${MANIFEST_BYTES_MAX} bytes`)
  const chunks: Buffer[] = []
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer)
  const parsed = manifestSchema.safeParse(parseJson(Buffer.concat(chunks).toString('utf8')))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw badImage(`manifest.json: ${issue?.path.join('.')}: ${issue?.message}`)
}

async function unpackEntryPoints(zip: ZipFile, entries: Map<string, Entry>, manifest: Manifest, folder: string) {
  const entryPoints: EntryPoint[] = []
  let bytes = 0
  for (const { id, 'wasm-path': path } of manifest['entry-points']) {
    const entry = entries.get(path)
    if (!entry) throw badImage(`entry point ${id} names ${path}, which is not in the package`)
    bytes += entry.uncompressedSize
    if (bytes > MODULES_BYTES_MAX) throw badImage(`its modules unpack to more than ${MODULES_BYTES_MAX} bytes`)
    const file = join(folder, `${entryPoints.length}.wasm`)
    // yauzl fails when an entry inflates to more than it declares.
    await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(file))
    entryPoints.push({ id, programName: path, file })
  }
  if (entryPoints.length === 0) throw badImage('manifest.json has no entry points')
  return entryPoints
}

/** The entry point that `run` names. A bare module answers to `main` and to any file name ending in `.wasm`. */
export function findEntryPoint(image: WasmImage, name: string): EntryPoint | undefined {
  const found = image.entryPoints.find((entry) => entry.id === name)
  if (found || image.kind === 'package') return found
  return name.endsWith('.wasm')
    ? image.entryPoints[0] && { ...image.entryPoints[0], programName: basename(name) }
    : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badImage(`manifest.json is not JSON: ${messageOf(error)}`)
  }
}

async function firstBytes(path: string, count: number): Promise<string> {
  await using file = await open(path, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0)
  return buffer.subarray(0, bytesRead).toString('hex')
}

function badImage(why: string): RuntimeError {
  return new RuntimeError('bad-image', `the image cannot be used: ${why}`)
}
