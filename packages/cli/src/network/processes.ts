/**
 * The processes of a local network. Each is this same program with another command; it tells its parent when it is ready
 * over the IPC channel, writes its log to a file, and ends by itself when the parent is gone (see `runSupervised`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../errors.ts'

/** How long a child may take until it is ready. */
const READY_TIMEOUT_MS = 30_000
/** How long a child may take to end after SIGTERM before it is killed. */
const STOP_TIMEOUT_MS = 5_000
/** Lines of a dead child's log that its error quotes. */
const LOG_LINES_QUOTED = 12

export type ChildSpec = {
  readonly name: string
  /** The command and its arguments, as after `emet`. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export type Child = {
  readonly name: string
  readonly pid: number
  /** What the child said when it was ready. */
  readonly ready: Promise<Record<string, unknown>>
  /** Resolves when the process is gone. */
  readonly exited: Promise<number | null>
  stop(): Promise<void>
}

export type ProcessesOptions = { readonly logDir: string; readonly mainFile: string }

export type Processes = {
  start(spec: ChildSpec): Child
  readonly children: readonly Child[]
  /** Rejects as soon as a child that was not told to stop is gone. */
  readonly failure: Promise<never>
  stopAll(): Promise<void>
}

export function createProcesses({ logDir, mainFile }: ProcessesOptions): Processes {
  const children: Child[] = []
  const { promise: failure, reject } = Promise.withResolvers<never>()
  failure.catch(() => {})
  return {
    children,
    failure,
    start: (spec) => {
      const child = startChild(spec, join(logDir, `${spec.name}.log`), mainFile, reject)
      children.push(child)
      return child
    },
    stopAll: async () => {
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}

function startChild(spec: ChildSpec, logFile: string, mainFile: string, onFailure: (error: CliError) => void): Child {
  const log = openSync(logFile, 'a')
  const process_ = spawn(process.execPath, [mainFile, ...spec.command], {
    env: { ...process.env, ...spec.env, EMET_SUPERVISED: '1' },
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  let isStopping = false
  const { promise: exited, resolve: resolveExited } = Promise.withResolvers<number | null>()
  const {
    promise: ready,
    resolve: resolveReady,
    reject: rejectReady,
  } = Promise.withResolvers<Record<string, unknown>>()
  ready.catch(() => {})
  const timer = setTimeout(() => rejectReady(childError(spec.name, 'was not ready in time', logFile)), READY_TIMEOUT_MS)
  process_.on('message', (message) => resolveReady(message as Record<string, unknown>))
  process_.on('error', (cause) => rejectReady(childError(spec.name, `could not be started: ${cause.message}`, logFile)))
  process_.on('exit', (code, signal) => {
    clearTimeout(timer)
    const error = childError(spec.name, `ended unexpectedly (${signal ?? `exit code ${code}`})`, logFile)
    rejectReady(error)
    if (!isStopping) onFailure(error)
    resolveExited(code)
  })
  void ready.then(() => clearTimeout(timer))
  const stop = async () => {
    isStopping = true
    await endProcess(process_, exited)
  }
  return { name: spec.name, pid: process_.pid ?? -1, ready, exited, stop }
}

async function endProcess(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(killer)
}

function childError(name: string, what: string, logFile: string): CliError {
  let tail = ''
  try {
    tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_QUOTED).join('\n')
  } catch {
    tail = '(no log)'
  }
  return new CliError('child-failed', `${name} ${what}. The end of ${logFile}:\n${tail}`, { name, logFile })
}
