import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Clock, type Logger, messageOf } from '@emet/core'
import {
  type ExeUnitDescriptor,
  launchCommand,
  offerTemplateSchema,
  queryCommand,
  TERMINATION_MS_MAX,
} from '@emet/exe-unit/protocol'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ExeUnits, LaunchRequest, RunningUnit, SoldRuntime, UnitExit } from '../types.ts'

/** How long an exe-unit may take to test itself, or to print its offer template. */
const QUERY_TIMEOUT_MS = 30_000
/** How often a process that is not our child is looked at. */
const WATCH_INTERVAL_MS = 500
/** After SIGTERM an exe-unit has its own limit for ending; we wait a little longer. */
const KILL_AFTER_MS = TERMINATION_MS_MAX + 500

export type ExeUnitsOptions = {
  readonly descriptors: readonly ExeUnitDescriptor[]
  /** The provider's folder. Below it: `exe-unit/work/<agreement>/<activity>`, `exe-unit/cache`, `exe-unit/log`. */
  readonly dataDir: string
  /** The daemon's local bus socket. */
  readonly busUrl: string
}

/** What is written beside an activity's folder, so that a later agent finds the process again. */
const processFileSchema = z.object({ pid: z.int().positive(), startTicks: z.string() })

/**
 * Exe-units as processes of this machine. Each leads a process group of its own, and outlives the agent: a restarted
 * agent finds it by the process file. A process is known by its pid and its start time, since pids are used again.
 */
export function createExeUnits(deps: { clock: Clock; logger: Logger }, options: ExeUnitsOptions): ExeUnits {
  const { clock, logger } = deps
  const base = join(options.dataDir, 'exe-unit')
  const agreementDir = (agreementId: string) => join(base, 'work', agreementId)
  const processFile = (agreementId: string, activityId: string) =>
    join(agreementDir(agreementId), `${activityId}.process.json`)

  const launch = async ({ activityId, agreementId, runtime, agreement }: LaunchRequest): Promise<RunningUnit> => {
    const descriptor = options.descriptors.find(({ name }) => name === runtime)
    if (!descriptor) throw new ProviderError('exe-unit-failed', `this machine has no runtime "${runtime}"`, { runtime })
    const dir = agreementDir(agreementId)
    for (const folder of [dir, join(base, 'cache'), join(base, 'log')])
      mkdirSync(folder, { recursive: true, mode: 0o700 })
    const agreementFile = join(dir, 'agreement.json')
    writeFileSync(agreementFile, JSON.stringify(agreement, null, 2))
    const [program, args] = launchCommand(descriptor, {
      activityId,
      workDir: join(dir, activityId),
      cacheDir: join(base, 'cache'),
      agreementFile,
      busUrl: options.busUrl,
    })
    const child = await spawnGroup(program, args, join(base, 'log', `${activityId}.log`), base)
    const pid = child.pid as number
    writeFileSync(processFile(agreementId, activityId), JSON.stringify({ pid, startTicks: startTicks(pid) ?? '' }))
    logger.info('an exe-unit was started', { activityId, pid })
    const exited = exitOf(child).finally(() => tidy(agreementId, activityId))
    return { exited, stop: () => endGroup(clock, pid, exited) }
  }
  const tidy = (agreementId: string, activityId: string) => {
    rmSync(processFile(agreementId, activityId), { force: true })
    rmSync(join(agreementDir(agreementId), activityId), { recursive: true, force: true })
  }
  const find = (activityId: string, agreementId: string): RunningUnit | undefined => {
    const record = readProcessFile(processFile(agreementId, activityId))
    if (!record || startTicks(record.pid) !== record.startTicks) return undefined
    logger.info('an exe-unit was found running', { activityId, pid: record.pid })
    const exited = watchForeign(clock, record).finally(() => tidy(agreementId, activityId))
    return { exited, stop: () => endGroup(clock, record.pid, exited) }
  }
  const query = async (descriptor: ExeUnitDescriptor): Promise<SoldRuntime[]> => {
    try {
      await ask(descriptor, 'test')
      const template = offerTemplateSchema.parse(JSON.parse(await ask(descriptor, 'offer-template')))
      const own = Object.entries(descriptor.properties).map(([name, value]) => [`golem.runtime.${name}`, value])
      const properties = { ...template.properties, ...Object.fromEntries(own) }
      return [{ name: descriptor.name, version: descriptor.version, template: { ...template, properties } }]
    } catch (error) {
      logger.error('a runtime cannot be sold on this machine', { runtime: descriptor.name, reason: messageOf(error) })
      return []
    }
  }
  return { launch, find, runtimes: async () => (await Promise.all(options.descriptors.map(query))).flat() }
}

async function ask(descriptor: ExeUnitDescriptor, what: 'test' | 'offer-template'): Promise<string> {
  const [program, args] = queryCommand(descriptor, what)
  try {
    return (await promisify(execFile)(program, args, { timeout: QUERY_TIMEOUT_MS })).stdout
  } catch (cause) {
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : ''
    const message = `the ${what} of runtime "${descriptor.name}" failed: ${stderr || messageOf(cause)}`
    throw new ProviderError('exe-unit-failed', message, { runtime: descriptor.name }, { cause })
  }
}

function spawnGroup(program: string, args: string[], logFile: string, cwd: string): Promise<ChildProcess> {
  const log = openSync(logFile, 'a')
  const child = spawn(program, args, { cwd, detached: true, stdio: ['ignore', log, log] })
  closeSync(log)
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child))
    child.once('error', (cause) =>
      reject(
        new ProviderError('exe-unit-failed', `the exe-unit could not be started: ${cause.message}`, {}, { cause }),
      ),
    )
  })
}

function exitOf(child: ChildProcess): Promise<UnitExit> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
}

/** A process that is not our child tells no exit code: what it reported to the daemon counts. */
async function watchForeign(
  clock: Clock,
  { pid, startTicks: ticks }: z.output<typeof processFileSchema>,
): Promise<UnitExit> {
  while (startTicks(pid) === ticks) await clock.sleep(WATCH_INTERVAL_MS)
  return { code: 0, signal: null }
}

async function endGroup(clock: Clock, pid: number, exited: Promise<unknown>): Promise<void> {
  signalGroup(pid, 'SIGTERM')
  const cancel = clock.setTimer(KILL_AFTER_MS, () => signalGroup(pid, 'SIGKILL'))
  await exited
  cancel()
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // It is gone already.
  }
}

function readProcessFile(path: string): z.output<typeof processFileSchema> | undefined {
  try {
    return processFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return undefined
  }
}

/** The start time of a living process in clock ticks since boot: field 22 of /proc/<pid>/stat. Zombies do not live. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
