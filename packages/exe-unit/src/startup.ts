/**
 * Makes processes that run from source start quickly. A daemon is made of more than a thousand modules; to find each of
 * them Node reads package.json files and asks the disk for links, and that takes longer than to load them. The answers
 * change only when packages are installed, so they are remembered beside the compile cache:
 *
 *     node_modules/.cache/emet/resolutions.json     what each module of a package means by each name it imports
 *
 * Nothing depends on the file: when it is missing, damaged, or older than the last installation, Node is asked, and a new
 * one is written as the process ends. The modules themselves are always read from their place. Only entry points import
 * this file, before everything else.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { enableCompileCache, type RegisterHooksOptions, registerHooks } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

type ResolveHook = NonNullable<RegisterHooksOptions['resolve']>
/** Place and format of a module. Places are relative to the workspace, so that it may be moved. */
type Found = readonly [place: string, format: string]
/** By the importing module, then by the name it uses. */
type Resolutions = Record<string, Record<string, Found>>

const HOME = new URL('../../../', import.meta.url)

/** Turns the compile cache and the memory of resolutions on, for everything that is imported afterwards. */
export function startQuickly(): void {
  const modules = fileURLToPath(new URL('node_modules/', HOME))
  // `NODE_COMPILE_CACHE` wins. Never Node's default, which is below the folder for temporary files: others write there.
  if (existsSync(modules)) enableCompileCache(join(modules, '.cache', 'node'))
  rememberResolutions(HOME)
}

/** The second part of `startQuickly`, for the workspace at `home`. Does nothing where npm has not installed anything. */
export function rememberResolutions(home: URL): void {
  const stamp = stampOf(fileURLToPath(home))
  if (stamp === undefined) return
  const file = fileURLToPath(new URL('node_modules/.cache/emet/resolutions.json', home))
  const memory = createMemory(home.href, readResolutions(file, stamp))
  registerHooks({ resolve: memory.resolve })
  process.on('exit', () => {
    if (memory.learned() > 0) writeResolutions(file, stamp, memory.resolutions)
  })
}

/** Changes with whatever could change an answer: Node, what npm has installed, what our packages export. */
function stampOf(home: string): string | undefined {
  try {
    const manifests = readdirSync(join(home, 'packages')).map((name) => join(home, 'packages', name, 'package.json'))
    const files = [join(home, 'node_modules', '.package-lock.json'), ...manifests]
    const changed = files.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    return changed[0] === 0 ? undefined : [process.version, ...changed].join(' ')
  } catch {
    return undefined
  }
}

/** Answers what is known, and learns the rest from Node. `home` is a URL that ends in a slash. */
function createMemory(home: string, resolutions: Resolutions) {
  const packages = `${home}packages/`
  const seen = new Set<string>()
  let count = 0
  const resolve: ResolveHook = (name, context, next) => {
    const { parentURL, conditions, importAttributes } = context
    const from = parentURL
    // `require` has a memory of its own, and attributes change what an answer means.
    if (!from?.startsWith(home) || !conditions.includes('import') || Object.keys(importAttributes).length > 0) {
      return next(name, context)
    }
    if (name.startsWith('node:')) return { url: name, format: 'builtin', shortCircuit: true }
    if (name.startsWith('.') && from.startsWith(packages)) {
      const url = ownModule(name, from, seen)
      return url ? { url, format: 'module-typescript', shortCircuit: true } : next(name, context)
    }
    const parent = from.slice(home.length)
    const known = resolutions[parent]?.[name]
    if (known) return { url: home + known[0], format: known[1], shortCircuit: true }
    const found = next(name, context)
    if (found.url.startsWith(home) && typeof found.format === 'string') {
      resolutions[parent] ??= {}
      resolutions[parent][name] = [found.url.slice(home.length), found.format]
      count += 1
    }
    return found
  }
  return { resolve, resolutions, learned: () => count }
}

/** Our own sources name each other in full, so there is nothing to search for: a file is there or not. */
function ownModule(name: string, parentUrl: string, seen: Set<string>): string | undefined {
  if (!name.endsWith('.ts')) return undefined
  const { href } = new URL(name, parentUrl)
  if (seen.has(href)) return href
  if (!existsSync(fileURLToPath(href))) return undefined
  seen.add(href)
  return href
}

/** What a former process has learned. Empty when it is of another stamp, or not readable. */
function readResolutions(file: string, stamp: string): Resolutions {
  try {
    const kept: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (!isRecord(kept) || kept['stamp'] !== stamp || !isRecord(kept['resolutions'])) return {}
    return kept['resolutions'] as Resolutions
  } catch {
    return {}
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** Adds to what other processes have written in the meantime. Of two that write at once one is lost, until next time. */
function writeResolutions(file: string, stamp: string, learned: Resolutions): void {
  const all = readResolutions(file, stamp)
  for (const [parent, names] of Object.entries(learned)) all[parent] = { ...all[parent], ...names }
  const draft = `${file}.${randomUUID()}`
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(draft, JSON.stringify({ stamp, resolutions: all }))
    renameSync(draft, file)
  } catch {
    // The workspace may be read-only; the next start is just as slow as this one.
    rmSync(draft, { force: true })
  }
}
