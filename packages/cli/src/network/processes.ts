/**
 * The processes of a local network. Each is this same program with another command; it tells its parent when it is ready
 * over the IPC channel, writes its log to a file, and ends by itself when the parent is gone (see `runSupervised`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../errors.ts'
import { CHILD_STOP_LIMIT_MS } from '../supervised.ts'

/** How long a child may take until it is ready. */
const READY_TIMEOUT_MS = 30_000
/** How long a child may take to end after SIGTERM before it is killed: a little more than it grants itself. */
const STOP_TIMEOUT_MS = CHILD_STOP_LIMIT_MS + 100
/** Lines of a dead child's log that its error quotes. */
const LOG_LINES_QUOTED = 12

/** What a child said when it was ready. */
export type Ready = Readonly<Record<string, unknown>>

export type ChildSpec = {
  readonly name: string
  /** The command and its arguments, as after `emet`. `former`: what the process that is replaced said, for its addresses. */
  readonly command: (former?: Ready) => readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export type Child = {
  readonly name: string
  readonly pid: number
  /** What the child said when it was ready. */
  readonly ready: Promise<Ready>
  stop(): Promise<void>
  /** Ends the process at once, as a crash does. */
  kill(): Promise<void>
  /** Starts it again, where it was before, after `kill` or `stop`. Resolves when it is ready. */
  restart(): Promise<void>
}

export type ProcessesOptions = { readonly logDir: string; readonly mainFile: string }

export type Processes = {
  /** Throws `interrupted` once `stopAll` was called. */
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
  let isStopping = false
  return {
    children,
    failure,
    start: (spec) => {
      if (isStopping) throw new CliError('interrupted', `${spec.name} is not started: the network stops`)
      const child = createChild(spec, join(logDir, `${spec.name}.log`), mainFile, reject)
      children.push(child)
      return child
    },
    stopAll: async () => {
      isStopping = true
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}

type OnFailure = (error: CliError) => void

function createChild(spec: ChildSpec, logFile: string, mainFile: string, onFailure: OnFailure): Child {
  const begin = (former?: Ready) => startLife(spec, spec.command(former), logFile, mainFile, onFailure)
  let life = begin()
  return {
    name: spec.name,
    get pid() {
      return life.pid
    },
    get ready() {
      return life.ready
    },
    stop: () => life.end('SIGTERM'),
    kill: () => life.end('SIGKILL'),
    restart: async () => {
      const former = await life.ready
      life = begin(former)
      await life.ready
    },
  }
}

/** One process of a child, from its start to its end. */
type Life = {
  readonly pid: number
  readonly ready: Promise<Ready>
  end(signal: NodeJS.Signals): Promise<void>
}

function startLife(
  { name, env }: ChildSpec,
  command: readonly string[],
  logFile: string,
  mainFile: string,
  onFailure: OnFailure,
): Life {
  const log = openSync(logFile, 'a')
  const process_ = spawn(process.execPath, [mainFile, ...command], {
    env: { ...process.env, ...env, EMET_SUPERVISED: '1' },
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  let isEnding = false
  const { promise: exited, resolve: resolveExited } = Promise.withResolvers<void>()
  const { promise: ready, resolve: resolveReady, reject: rejectReady } = Promise.withResolvers<Ready>()
  ready.catch(() => {})
  const timer = setTimeout(() => rejectReady(childError(name, 'was not ready in time', logFile)), READY_TIMEOUT_MS)
  process_.on('message', (message) => resolveReady(message as Ready))
  process_.on('error', (cause) => rejectReady(childError(name, `could not be started: ${cause.message}`, logFile)))
  process_.on('exit', (code, signal) => {
    clearTimeout(timer)
    const error = childError(name, `ended unexpectedly (${signal ?? `exit code ${code}`})`, logFile)
    rejectReady(error)
    if (!isEnding) onFailure(error)
    resolveExited()
  })
  const cancelTimer = () => clearTimeout(timer)
  void ready.then(cancelTimer, cancelTimer)
  const end = async (signal: NodeJS.Signals) => {
    isEnding = true
    await endProcess(process_, signal, exited)
  }
  return { pid: process_.pid ?? -1, ready, end }
}

async function endProcess(child: ChildProcess, signal: NodeJS.Signals, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
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
