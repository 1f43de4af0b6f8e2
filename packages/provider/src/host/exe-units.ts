import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
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
import { ProviderError } from '../errors.ts'
import type { ExeUnits, LaunchRequest, RunningUnit, SoldRuntime } from '../types.ts'
import { findGroup, startGroup } from './processes.ts'

/** How long an exe-unit may take to test itself, or to print its offer template. */
const QUERY_TIMEOUT_MS = 30_000
/** After SIGTERM an exe-unit has its own limit for ending; we wait a little longer. */
const KILL_AFTER_MS = TERMINATION_MS_MAX + 500
/** Logs of exe-units that are kept; the oldest go first. */
const LOGS_KEPT_MAX = 100

export type ExeUnitsOptions = {
  readonly descriptors: readonly ExeUnitDescriptor[]
  /** The provider's folder. Below it: `exe-unit/work/<agreement>/<activity>`, `exe-unit/cache`, `exe-unit/log`. */
  readonly dataDir: string
  /** The daemon's local bus socket. */
  readonly busUrl: string
  /** The environment of exe-units: nothing of the agent's own goes to them, least of all its app key. */
  readonly env: Readonly<Record<string, string>>
  /** How long an exe-unit has between SIGTERM and SIGKILL. Default: a little more than its own limit. */
  readonly killAfterMs?: number
}

/**
 * Exe-units as processes of this machine. Each leads a process group of its own, and outlives the agent: a restarted
 * agent finds it by a file beside the activity's folder. Of an activity that has ended, only its log is left.
 */
export function createExeUnits(deps: { clock: Clock; logger: Logger }, options: ExeUnitsOptions): ExeUnits {
  const { clock, logger } = deps
  const folders = foldersOf(options.dataDir)
  const groupOf = (agreementId: string, activityId: string) => ({
    clock,
    file: folders.processFile(agreementId, activityId),
    killAfterMs: options.killAfterMs ?? KILL_AFTER_MS,
  })
  const tidyAfter = (unit: RunningUnit, agreementId: string, activityId: string): RunningUnit => {
    const exited = unit.exited.finally(() => removeTraces(folders, agreementId, activityId))
    return { exited, stop: () => unit.stop().then(() => {}), kill: () => unit.kill() }
  }
  const launch = async ({ activityId, agreementId, runtime, agreement }: LaunchRequest): Promise<RunningUnit> => {
    const descriptor = options.descriptors.find(({ name }) => name === runtime)
    if (!descriptor) throw new ProviderError('exe-unit-failed', `this machine has no runtime "${runtime}"`, { runtime })
    const dir = folders.agreement(agreementId)
    for (const folder of [dir, folders.cache, folders.log]) mkdirSync(folder, { recursive: true, mode: 0o700 })
    pruneLogs(folders.log)
    const agreementFile = join(dir, 'agreement.json')
    writeFileSync(agreementFile, JSON.stringify(agreement, null, 2), { mode: 0o600 })
    const [program, args] = launchCommand(descriptor, {
      activityId,
      workDir: join(dir, activityId),
      cacheDir: folders.cache,
      agreementFile,
      busUrl: options.busUrl,
    })
    const logFile = join(folders.log, `${activityId}.log`)
    const unit = await startGroup(groupOf(agreementId, activityId), {
      program,
      args,
      env: options.env,
      cwd: folders.base,
      logFile,
    })
    logger.info('an exe-unit was started', { activityId, pid: unit.pid })
    return tidyAfter(unit, agreementId, activityId)
  }
  const find = (activityId: string, agreementId: string): RunningUnit | undefined => {
    const unit = findGroup(groupOf(agreementId, activityId))
    if (!unit) {
      // It may have died while nobody looked.
      removeTraces(folders, agreementId, activityId)
      return undefined
    }
    logger.info('an exe-unit was found running', { activityId, pid: unit.pid })
    return tidyAfter(unit, agreementId, activityId)
  }
  const query = async (descriptor: ExeUnitDescriptor): Promise<SoldRuntime[]> => {
    try {
      const template = offerTemplateSchema.parse(JSON.parse(await askTemplate(descriptor, options.env)))
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

type Folders = ReturnType<typeof foldersOf>

function foldersOf(dataDir: string) {
  const base = join(dataDir, 'exe-unit')
  const agreement = (agreementId: string) => join(base, 'work', agreementId)
  return {
    base,
    cache: join(base, 'cache'),
    log: join(base, 'log'),
    agreement,
    processFile: (agreementId: string, activityId: string) =>
      join(agreement(agreementId), `${activityId}.process.json`),
  }
}

/** Removes the activity's folder, and its agreement's with it when no other activity is there. */
function removeTraces(folders: Folders, agreementId: string, activityId: string): void {
  const dir = folders.agreement(agreementId)
  rmSync(folders.processFile(agreementId, activityId), { force: true })
  rmSync(join(dir, activityId), { recursive: true, force: true })
  const isLast = listNames(dir).every((name) => name === 'agreement.json')
  if (isLast) rmSync(dir, { recursive: true, force: true })
}

function pruneLogs(folder: string): void {
  const logs = listNames(folder).map((name) => join(folder, name))
  if (logs.length < LOGS_KEPT_MAX) return
  const aged = logs.map((path) => ({ path, atMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
  const old = aged.sort((a, b) => b.atMs - a.atMs).slice(LOGS_KEPT_MAX - 1)
  for (const { path } of old) rmSync(path, { force: true })
}

function listNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** An exe-unit tests its runtime before it offers it. */
async function askTemplate(descriptor: ExeUnitDescriptor, env: ExeUnitsOptions['env']): Promise<string> {
  const [program, args] = queryCommand(descriptor, 'offer-template')
  try {
    return (await promisify(execFile)(program, args, { timeout: QUERY_TIMEOUT_MS, env })).stdout
  } catch (cause) {
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : ''
    const message = `runtime "${descriptor.name}" does not work here: ${stderr || messageOf(cause)}`
    throw new ProviderError('exe-unit-failed', message, { runtime: descriptor.name }, { cause })
  }
}
