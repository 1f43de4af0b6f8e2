import { type RuntimeEventKind, readFault } from '@emet/core'
import { type BatchOutcome, exitCodeOf, runBatch } from './batch.ts'
import type { SdkDeps } from './daemon.ts'
import { golemErrorOf } from './daemon-errors.ts'
import { GolemError } from './errors.ts'
import type { SdkEventBody } from './events.ts'
import { ABORT_CLEANUP_MS } from './limits.ts'
import type { Machine } from './machine.ts'
import { createOutputLog, linesOf, type OutputLog, toBytes, toStream } from './output.ts'
import { withLimit } from './scope.ts'
import type { RunHandle, RunOptions, RunResult } from './types.ts'

export type RunInput = {
  readonly activityId: string
  readonly providerId: string
  readonly machine: Machine
  readonly program: string
  readonly args: readonly string[]
  readonly options: RunOptions
  /** Aborts when the rental ends. */
  readonly ended: AbortSignal
  readonly emit: (event: SdkEventBody) => void
}

/** Starts a program, and gives a handle with many views of it. */
export function startRun(deps: SdkDeps, input: RunInput): RunHandle {
  const output = createOutputLog()
  const killing = new AbortController()
  const result = superviseRun(deps, input, output, killing.signal).then(
    (value) => {
      output.end()
      return value
    },
    (error) => {
      output.end(error)
      throw error
    },
  )
  // Whoever looks at another view gets the error there.
  result.catch(() => {})
  const exitCode = result.then(
    (value) => value.exitCode,
    (error) => {
      if (error instanceof GolemError && error.code === 'command.failed') return Number(error.facts['exitCode'])
      throw error
    },
  )
  exitCode.catch(() => {})
  const lines = (of: 'stdout' | 'stderr' = 'stdout') => linesOf(output.read(of))
  return {
    result,
    exitCode,
    // biome-ignore lint/suspicious/noThenProperty: a handle is awaited for its result
    then: (onValue, onError) => result.then(onValue, onError),
    [Symbol.asyncIterator]: () => lines()[Symbol.asyncIterator](),
    lines,
    stdout: () => toStream(output.read('stdout')),
    stderr: () => toStream(output.read('stderr')),
    kill: (reason) => killing.abort(reason ?? new Error('killed')),
  }
}

async function superviseRun(
  deps: SdkDeps,
  input: RunInput,
  output: OutputLog,
  killed: AbortSignal,
): Promise<RunResult> {
  const { clock, log } = deps
  const { machine, options, ended, providerId } = input
  const stop = AbortSignal.any([ended, killed, ...(options.signal ? [options.signal] : [])])
  const tooSlow = () => commandError('command.slow', input, `still running after ${(options.timeoutMs ?? 0) / 1000} s`)
  try {
    if (options.timeoutMs === undefined) return await runOnce(deps, input, output, stop)
    return await withLimit(clock, options.timeoutMs, stop, tooSlow, (signal) => runOnce(deps, input, output, signal))
  } catch (error) {
    const isStopped = stop.aborted || (error instanceof GolemError && error.code === 'command.slow')
    if (isStopped && !ended.aborted) {
      const slow = () => new Error('the machine does not answer')
      await withLimit(clock, ABORT_CLEANUP_MS, ended, slow, (signal) => machine.halt(signal)).catch((cause) => {
        log.debug('a program could not be stopped', { cause })
      })
    }
    if (ended.aborted) throw golemErrorOf(ended.reason, 'run', { providerId })
    if (killed.aborted) throw commandError('command.killed', input, 'killed', killed.reason)
    throw golemErrorOf(error, 'run', { signal: options.signal, providerId })
  }
}

async function runOnce(deps: SdkDeps, input: RunInput, output: OutputLog, signal: AbortSignal): Promise<RunResult> {
  const { activityId, providerId, machine, program, args, options, emit } = input
  signal.throwIfAborted()
  await machine.ensureReady(signal)
  const command = [program, ...args].join(' ').slice(0, 200)
  emit({ kind: 'command', phase: 'begin', command })
  const mode = {
    stream: { format: options.binary ? ('bin' as const) : ('str' as const), limit: options.outputBytesMax },
  }
  const capture = { stdout: mode, stderr: mode }
  const script = [{ run: { entry_point: program, args: [...args], capture } }]
  const onEvent = (_: number, kind: RuntimeEventKind) => {
    if ('stdout' in kind) output.push('stdout', kind.stdout)
    if ('stderr' in kind) output.push('stderr', kind.stderr)
  }
  const beganMs = deps.clock.monotonicMs()
  const outcome = await runBatch(deps, { activityId, providerId, script, phase: 'run', signal, onEvent })
  const result = resultOf(outcome, output, (deps.clock.monotonicMs() - beganMs) / 1000)
  if (isRefused(result)) throw refusedError(input, result.message ?? 'no reason given')
  if (!outcome.isStreamWhole && result.exitCode === 0 && result.message !== undefined) {
    emit({ kind: 'warning', message: `the output of ${program} is not complete: ${result.message}` })
  }
  emit({ kind: 'command', phase: 'end', command, exitCode: result.exitCode })
  if (result.exitCode !== 0 && !options.anyExitCode) throw exitError(input, result)
  return result
}

function resultOf(outcome: BatchOutcome, output: OutputLog, seconds: number): RunResult {
  const result = outcome.results[0]
  const stdoutBytes = output.complete('stdout', toBytes(result?.stdout ?? null))
  const stderrBytes = output.complete('stderr', toBytes(result?.stderr ?? null))
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  return {
    exitCode: exitCodeOf(0, outcome),
    stdout: text(stdoutBytes),
    stderr: text(stderrBytes),
    stdoutBytes,
    stderrBytes,
    seconds,
    message: result?.message ?? undefined,
  }
}

/** Golem wire: -1 means that the command could not be carried out, unless the words say that a program has ended so. */
const isRefused = ({ exitCode, message }: RunResult) => exitCode === -1 && !/exited with code/.test(message ?? '')

function refusedError({ program, providerId }: RunInput, said: string): GolemError {
  const { fault, text } = readFault(said)
  return new GolemError(fault ? 'command.invalid' : 'activity.failed', `${program} could not be run: ${text}`, {
    phase: 'run',
    blame: fault ? 'user' : 'provider',
    retryable: !fault,
    providerId,
    facts: fault ? { fault } : {},
  })
}

function exitError(input: RunInput, result: RunResult): GolemError {
  const tail = result.stderr.trimEnd().split('\n').slice(-3).join('\n')
  const said = tail || result.message || 'it said nothing'
  return commandError('command.failed', input, `ended with code ${result.exitCode}: ${said}`, undefined, result)
}

function commandError(
  code: 'command.failed' | 'command.killed' | 'command.slow',
  { program, providerId }: RunInput,
  said: string,
  cause?: unknown,
  result?: RunResult,
): GolemError {
  return new GolemError(code, `${program}: ${said}`, {
    phase: 'run',
    blame: 'user',
    retryable: code !== 'command.killed',
    providerId,
    cause,
    facts: result ? { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr } : {},
  })
}
