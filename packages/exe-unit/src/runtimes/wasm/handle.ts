/**
 * One deployed WASI image. Each command gets a jailed process of its own; one is kept warm, with its modules compiled, so
 * that a command starts in a few milliseconds instead of sixty.
 */
import { mkdir } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { AbortOptions, Clock } from '@emet/core'
import { RuntimeError } from '../../errors.ts'
import type { Command, CommandEnd, DeployRequest, Instance, RunRequest, Volume } from '../../runtime.ts'
import { complaintOf, type Jail, type JailedProcess, type Mount, startJailed, startUnjailed } from './jail.ts'
import { BARE_FOLDERS, type EntryPoint, findEntryPoint, unpackImage, type WasmImage } from './package.ts'

/** Commands of one instance at the same time. */
export const COMMANDS_AT_ONCE_MAX = 8
/** How long the engine may take to start and to compile the modules. */
export const BOOT_MS_MAX = 30_000
/** Memory that the engine itself needs; the guest gets the rest of the agreement's. */
export const ENGINE_MEMORY_BYTES = 96 * 1024 * 1024
/** What a guest gets at least, however little the agreement grants. */
export const GUEST_MEMORY_BYTES_MIN = 16 * 1024 * 1024
/** JavaScript heap of the engine, in MiB. WebAssembly memory is not part of it. */
const ENGINE_HEAP_MIB = 64
/** Entry points up to this many are compiled ahead; of a larger package, only the one used last. */
const WARM_ENTRY_POINTS_MAX = 4
/** How often is looked whether a jail is bound to us. Nearly always it is at the first look. */
const BOUND_POLL_MS = 2
const PAGE_BYTES = 65_536
/** Pages of 64 KiB that 32-bit memory can have. */
const PAGES_MAX = 65_536
const ENGINE_SCRIPT = fileURLToPath(new URL('./engine.mjs', import.meta.url))
const MEMORY_ENGINE_SCRIPT = fileURLToPath(new URL('./engine-memory.mjs', import.meta.url))

/** A folder of the guest: where it is in the guest, on the host, and in the jail. */
type Folder = Volume & { readonly jailFolder: string; readonly isPrivate: boolean }

type Report = { ready?: true; invalid?: { entry: string; message: string }; exit?: number; trap?: string }

type Engine = {
  readonly process: JailedProcess
  readonly reports: AsyncIterator<Report>
  readonly ready: Promise<void>
}

/** `jail` undefined: the engine with files in memory, which needs none. */
export type InstanceDeps = { readonly clock: Clock; readonly jail: Jail | undefined }

/** Unpacks the image, makes the folders, and checks the modules in the jail. */
export async function createInstance(
  deps: InstanceDeps,
  request: DeployRequest,
  options: AbortOptions,
): Promise<Instance> {
  if (request.imageFile === undefined) throw new RuntimeError('bad-image', 'the wasm runtime needs an image')
  const image = await unpackImage(request.imageFile, join(request.folder, 'modules'))
  const folders = await makeFolders(image, request, deps.jail !== undefined)
  const engines = createEngines(deps, request, image, folders)
  const onAbort = () => engines.stop()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await engines.warmUp(image.entryPoints)
  } catch (error) {
    engines.stop()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
  }
  return instanceOf(deps, request, image, folders, engines)
}

function instanceOf(
  deps: InstanceDeps,
  request: DeployRequest,
  image: WasmImage,
  folders: readonly Folder[],
  engines: Engines,
): Instance {
  const running = new Map<Command, Promise<CommandEnd>>()
  let stopReason: string | undefined

  const run = async (what: RunRequest): Promise<Command> => {
    if (stopReason !== undefined) throw new RuntimeError('stopped', `the activity has stopped: ${stopReason}`)
    const entryPoint = findEntryPoint(image, what.entryPoint)
    if (!entryPoint) throw unknownEntryPoint(image, what.entryPoint)
    const max = commandsAtOnceMax(deps.jail !== undefined)
    if (running.size >= max) {
      throw new RuntimeError('too-many-commands', `${max} commands run already; wait for one to end`)
    }
    const command = startCommand(deps.clock, engines.take(entryPoint), order(entryPoint, what, request, folders), {
      stdin: what.stdin,
      limitMs: request.limits.commandMs,
    })
    running.set(command, command.ended)
    void command.ended.then(() => {
      running.delete(command)
      if (stopReason === undefined) engines.keepWarm(entryPoint)
    })
    return command
  }
  const stop = async (reason: string) => {
    stopReason ??= reason
    engines.stop()
    for (const command of running.keys()) command.kill(reason)
    await Promise.all([...running.values(), engines.stopped()])
  }
  return {
    volumes: folders.filter((folder) => !folder.isPrivate).map(({ path, hostFolder }) => ({ path, hostFolder })),
    message: `${image.kind === 'module' ? 'a module' : 'a package'} with ${image.entryPoints.length} entry point(s)`,
    start: async () => {
      if (stopReason !== undefined) throw new RuntimeError('stopped', `the activity has stopped: ${stopReason}`)
    },
    run,
    counters: () => ({}),
    stop,
  }
}

type Engines = ReturnType<typeof createEngines>

/** Makes jailed engines, and keeps at most one that waits for its order. */
function createEngines(deps: InstanceDeps, request: DeployRequest, image: WasmImage, folders: readonly Folder[]) {
  let warm: Engine | undefined
  const alive = new Set<JailedProcess>()

  const boot = (entryPoints: readonly EntryPoint[]): Engine => {
    const process = startEngine(deps.jail, request, image, folders, entryPoints)
    alive.add(process)
    void process.ended.then(() => alive.delete(process))
    const reports = reportsOf(process)
    const ready = firstReport(deps.clock, process, reports)
    ready.catch(() => {})
    const engine = { process, reports, ready }
    void process.ended.then(() => {
      if (warm === engine) warm = undefined
    })
    return engine
  }
  const toWarm = (entryPoint: EntryPoint) =>
    image.entryPoints.length <= WARM_ENTRY_POINTS_MAX ? image.entryPoints : [entryPoint]
  return {
    warmUp: (entryPoints: readonly EntryPoint[]): Promise<void> => {
      warm = boot(entryPoints)
      return warm.ready
    },
    keepWarm: (entryPoint: EntryPoint) => {
      warm ??= boot(toWarm(entryPoint))
    },
    take: (entryPoint: EntryPoint): Engine => {
      const engine = warm ?? boot(toWarm(entryPoint))
      warm = undefined
      return engine
    },
    stop: () => {
      for (const process of alive) process.kill()
    },
    stopped: () => Promise.all([...alive].map((process) => process.ended)),
  }
}

/** Commands of one instance at once. Copies of files in memory would overwrite each other. */
export function commandsAtOnceMax(isJailed: boolean): number {
  return isJailed ? COMMANDS_AT_ONCE_MAX : 1
}

function startEngine(
  jail: Jail | undefined,
  request: DeployRequest,
  image: WasmImage,
  folders: readonly Folder[],
  warm: readonly EntryPoint[],
): JailedProcess {
  const modules = image.entryPoints.map(({ id, file }, index) => ({
    id,
    from: file,
    to: jail ? `/app/${index}.wasm` : file,
  }))
  const mounts: Mount[] = [
    ...modules.map(({ from, to }) => ({ from, to })),
    ...folders.map(({ hostFolder, jailFolder }) => ({ from: hostFolder, to: jailFolder, isWritable: true })),
  ]
  const script = {
    script: jail ? ENGINE_SCRIPT : MEMORY_ENGINE_SCRIPT,
    argument: JSON.stringify({
      modules: Object.fromEntries(modules.map(({ id, to }) => [id, to])),
      warm: warm.map(({ id }) => id),
    }),
    mounts,
    engineFlags: ['--no-warnings', `--max-old-space-size=${ENGINE_HEAP_MIB}`, ...memoryFlags(request)],
    fileBytesMax: request.limits.storageBytes,
  }
  return jail ? startJailed(jail, script) : startUnjailed(process.execPath, script)
}

function memoryFlags({ limits }: DeployRequest): string[] {
  if (limits.memoryBytes === undefined) return []
  const guestBytes = Math.max(limits.memoryBytes - ENGINE_MEMORY_BYTES, GUEST_MEMORY_BYTES_MIN)
  return [`--wasm-max-mem-pages=${Math.min(Math.floor(guestBytes / PAGE_BYTES), PAGES_MAX)}`]
}

function order(entryPoint: EntryPoint, what: RunRequest, request: DeployRequest, folders: readonly Folder[]): string {
  return `${JSON.stringify({
    entry: entryPoint.id,
    args: [entryPoint.programName, ...what.args],
    env: { ...request.env, ...what.env },
    folders: Object.fromEntries(folders.map(({ path, jailFolder }) => [path, jailFolder])),
  })}\n`
}

/** Hands the order to an engine. */
function startCommand(
  clock: Clock,
  engine: Engine,
  line: string,
  options: { stdin: AsyncIterable<Uint8Array> | undefined; limitMs: number | undefined },
): Command {
  const { process } = engine
  let killed: string | undefined
  const kill = (reason: string) => {
    killed ??= reason
    process.kill()
  }
  void giveOrder(clock, engine, line)
  if (options.stdin) pipeline(Readable.from(options.stdin), process.stdin).catch(() => {})
  else process.stdin.end()
  const { limitMs } = options
  const cancelTimer =
    limitMs === undefined
      ? () => {}
      : clock.setTimer(limitMs, () => kill(`it ran longer than the limit of ${limitMs} ms`))
  const ended = endOf(engine, () => killed)
  void ended.finally(cancelTimer)
  return { stdout: process.stdout, stderr: process.stderr, ended, kill }
}

/**
 * Work is given only to an engine that is sure to die with us: one whose half-made jail has missed our death would go on
 * for ever. Without an order it ends by itself.
 */
async function giveOrder(clock: Clock, { process, ready }: Engine, line: string): Promise<void> {
  let isOver = false
  void process.ended.then(() => {
    isOver = true
  })
  try {
    await ready
    while (!process.isBound() && !isOver) await clock.sleep(BOUND_POLL_MS)
    process.orders.end(line)
  } catch {
    // The engine did not start; the command's end says why.
  }
}

async function endOf(engine: Engine, killReason: () => string | undefined): Promise<CommandEnd> {
  const boot = await engine.ready.then(
    () => undefined,
    (error: Error) => error,
  )
  const last = boot ? undefined : await engine.reports.next()
  const { code, signal } = await engine.process.ended
  const reason = killReason()
  const report = last?.done === false ? last.value : undefined
  if (report?.exit !== undefined) return { kind: 'exited', code: report.exit }
  if (report?.trap !== undefined) return { kind: 'trapped', message: report.trap }
  if (reason !== undefined) return { kind: 'killed', reason }
  if (boot) return { kind: 'failed', message: boot.message }
  return { kind: 'failed', message: `the WebAssembly engine died (${signal ?? `code ${code}`}), perhaps out of memory` }
}

async function* reportsOf(process: JailedProcess): AsyncGenerator<Report> {
  for await (const line of createInterface({ input: process.reports })) {
    try {
      yield JSON.parse(line) as Report
    } catch {
      return
    }
  }
}

/** Waits until the engine says that it is ready. */
async function firstReport(clock: Clock, process: JailedProcess, reports: AsyncIterator<Report>): Promise<void> {
  let isLate = false
  const cancelTimer = clock.setTimer(BOOT_MS_MAX, () => {
    isLate = true
    process.kill()
  })
  try {
    const { value, done } = await reports.next()
    if (!done && value.ready) return
    if (!done && value.invalid) {
      const { entry, message } = value.invalid
      throw new RuntimeError('bad-image', `entry point ${entry} cannot be used: ${message}`, { entry })
    }
    const why = isLate ? `no answer within ${BOOT_MS_MAX} ms` : await complaintOf(process)
    throw new RuntimeError('unavailable', `the jailed WebAssembly engine did not start: ${why || 'it was stopped'}`)
  } finally {
    cancelTimer()
  }
}

async function makeFolders(image: WasmImage, request: DeployRequest, isJailed: boolean): Promise<Folder[]> {
  const wanted =
    image.kind === 'module'
      ? [{ path: '/', isPrivate: false }]
      : uniquePaths([
          ...image.mountPoints,
          ...request.volumes.map((path) => ({ path: guestPath(path), isPrivate: false })),
        ])
  const folders = wanted.map((point, index) => ({
    ...point,
    hostFolder: join(request.folder, `vol-${index}`),
    jailFolder: isJailed ? `/vol/${index}` : join(request.folder, `vol-${index}`),
  }))
  for (const { hostFolder } of folders) await mkdir(hostFolder, { recursive: true })
  if (image.kind === 'module') {
    const root = join(request.folder, 'vol-0')
    for (const path of [...BARE_FOLDERS, ...request.volumes.map(guestPath)]) {
      await mkdir(join(root, path), { recursive: true })
    }
  }
  return folders
}

function uniquePaths<T extends { path: string }>(points: readonly T[]): T[] {
  return [...new Map(points.map((point) => [point.path, point])).values()]
}

/** An absolute, normal path in the guest: `..` cannot lead above the root. */
function guestPath(path: string): string {
  if (path.includes('\0')) throw new RuntimeError('bad-request', 'a volume path contains a zero byte', { path })
  return posix.join('/', path)
}

function unknownEntryPoint(image: WasmImage, name: string): RuntimeError {
  const known = image.entryPoints.map(({ id }) => id).join(', ')
  return new RuntimeError('bad-request', `Entrypoint ${name} not found. The image has: ${known}`, { entryPoint: name })
}
