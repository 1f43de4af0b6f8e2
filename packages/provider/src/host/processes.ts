/**
 * Processes that may outlive us. Each leads a group of its own; it is known by its pid and its start time, since pids
 * are used again.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Clock } from '@emet/core'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { RunningUnit, UnitExit } from '../types.ts'

/** How often a process that is not our child is looked at. */
const WATCH_INTERVAL_MS = 200

const recordSchema = z.object({ pid: z.int().positive(), startTicks: z.string().min(1) })
type ProcessRecord = z.output<typeof recordSchema>

export type GroupOptions = {
  readonly clock: Clock
  /** Where it is written down which process it is. */
  readonly file: string
  /** How long the group has after SIGTERM, before SIGKILL. */
  readonly killAfterMs: number
}

export type Command = {
  readonly program: string
  readonly args: readonly string[]
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Gets stdout and stderr. */
  readonly logFile: string
}

/** Starts a process at the head of a new group. Throws `exe-unit-failed`. */
export async function startGroup(options: GroupOptions, command: Command): Promise<RunningUnit & { pid: number }> {
  const child = spawnLeader(command)
  const { pid } = child
  const failure = Promise.withResolvers<never>()
  child.on('error', failure.reject)
  // Written in the same breath, so that no crash of ours lets go of a process without a trace.
  const startTicks = pid === undefined ? undefined : startTicksOf(pid)
  if (startTicks !== undefined) writeFileSync(options.file, JSON.stringify({ pid, startTicks }))
  const exited = new Promise<UnitExit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  failure.promise.catch(() => {})
  if (pid !== undefined) return { ...controlOf(options, pid, exited), pid }
  const cause = await failure.promise.catch((error: Error) => error)
  const message = `${command.program} could not be started: ${cause.message}`
  throw new ProviderError('exe-unit-failed', message, { program: command.program }, { cause })
}

/** The process of the file, if it lives. */
export function findGroup(options: GroupOptions): (RunningUnit & { pid: number }) | undefined {
  const record = readRecord(options.file)
  if (!record || startTicksOf(record.pid) !== record.startTicks) return undefined
  return { ...controlOf(options, record.pid, watchForeign(options.clock, record)), pid: record.pid }
}

function controlOf({ clock, file, killAfterMs }: GroupOptions, pid: number, left: Promise<UnitExit>): RunningUnit {
  let isGone = false
  const exited = left.finally(() => {
    isGone = true
    // What it has started and left behind ends with it.
    signalGroup(pid, 'SIGKILL')
    rmSync(file, { force: true })
  })
  const send = (signal: NodeJS.Signals) => {
    if (!isGone) signalGroup(pid, signal)
  }
  const end = async () => {
    send('SIGTERM')
    const cancel = clock.setTimer(killAfterMs, () => send('SIGKILL'))
    await exited
    cancel()
  }
  let ending: Promise<void> | undefined
  return {
    exited,
    stop: () => {
      ending ??= end()
      return ending
    },
    kill: async () => {
      send('SIGKILL')
      await exited
    },
  }
}

function spawnLeader({ program, args, env, cwd, logFile }: Command): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  try {
    return spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', log, log] })
  } finally {
    closeSync(log)
  }
}

/** A process that is not our child tells no exit code: what it reported to the daemon counts. */
async function watchForeign(clock: Clock, { pid, startTicks }: ProcessRecord): Promise<UnitExit> {
  while (startTicksOf(pid) === startTicks) await clock.sleep(WATCH_INTERVAL_MS)
  return { code: null, signal: null }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody of the group is left.
  }
}

function readRecord(path: string): ProcessRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return undefined
  }
}

/** The start time of a living process in clock ticks since boot: field 22 of /proc/<pid>/stat. Zombies do not live. */
export function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
