/** The batches of one activity: those under way, and the finished ones whose results are still kept. */
import { ReplyError } from '@emet/bus'
import type { Clock } from '@emet/core'
import { type Batch, type CommandResult, createBatch } from './batch.ts'
import { ExeUnitError } from './errors.ts'
import { type RuntimeEvent, SUBSCRIBERS_MAX } from './events.ts'
import { parseScript } from './script.ts'

/** Batches whose results are kept. A new one pushes out the oldest that has finished. */
export const BATCHES_MAX = 256
/** Kept output of all batches; over it the oldest finished ones are forgotten. */
export const RESULTS_BYTES_MAX = 128 * 1024 * 1024

/** Golem wire: a command that runs. */
export type RunningCommand = { readonly command: string; readonly progress: null; readonly params: string[] | null }

export type ResultsRequest = {
  readonly waitMs: number
  readonly commandIndex: number | undefined
  readonly signal: AbortSignal
}

/** Golem: how much was done, as the reason of an activity's end tells it. */
export type Tally = {
  readonly batches_done: number
  readonly batches_pending: number
  readonly cmds_done: number
  readonly cmds_pending: number
}

export interface BatchBook {
  /** Fails with `bad-request`: not a script, or the id is taken. */
  open(batchId: string, script: unknown): Batch
  all(): Batch[]
  results(batchId: string, request: ResultsRequest): Promise<CommandResult[]>
  events(batchId: string, signal: AbortSignal): AsyncIterable<RuntimeEvent>
  /** Golem wire: the commands that run; `notFound` when there is none. */
  running(): RunningCommand[]
  tally(): Tally
}

export function createBatchBook(clock: Clock, activityId: string): BatchBook {
  const batches = new Map<string, Batch>()

  const find = (batchId: string): Batch => {
    const batch = batches.get(batchId)
    if (batch) return batch
    throw new ExeUnitError('not-found', `batch ${batchId} is not known to activity ${activityId}`, { batchId })
  }
  const open = (batchId: string, script: unknown) => {
    if (batches.has(batchId)) throw new ExeUnitError('bad-request', `batch ${batchId} exists already`, { batchId })
    const batch = createBatch(clock, batchId, parseScript(script))
    forgetOld(batches)
    batches.set(batchId, batch)
    return batch
  }
  const results = async (batchId: string, { waitMs, commandIndex, signal }: ResultsRequest) => {
    const batch = find(batchId)
    const isDone = await batch.waitFor(commandIndex ?? batch.items.length - 1, waitMs, signal)
    if (!isDone && commandIndex !== undefined)
      throw new ReplyError('timeout', `command ${commandIndex} has not finished`)
    if (commandIndex === undefined) return [...batch.results]
    // Golem wire: up to the command asked for, and only that one with its output.
    return batch.results
      .slice(0, commandIndex + 1)
      .map((result) => (result.index === commandIndex ? result : { ...result, stdout: null, stderr: null }))
  }
  const events = (batchId: string, signal: AbortSignal) => {
    const batch = find(batchId)
    if (batch.subscribers < SUBSCRIBERS_MAX) return batch.events(signal)
    throw new ExeUnitError('limit', `batch ${batchId} has ${SUBSCRIBERS_MAX} subscribers already`)
  }
  return {
    open,
    all: () => [...batches.values()],
    results,
    events,
    running: () => runningOf(batches.values()),
    tally: () => tallyOf([...batches.values()]),
  }
}

function runningOf(batches: Iterable<Batch>): RunningCommand[] {
  const running = [...batches].flatMap((batch): RunningCommand[] => {
    const command = batch.running === undefined ? undefined : batch.items[batch.running]?.command
    if (!command) return []
    const params = command.kind === 'run' ? [command.what.entry_point, ...(command.what.args ?? [])] : null
    return [{ command: command.kind.charAt(0).toUpperCase() + command.kind.slice(1), progress: null, params }]
  })
  if (running.length > 0) return running
  throw new ExeUnitError('not-found', 'no command is running')
}

function tallyOf(batches: readonly Batch[]): Tally {
  const finished = batches.filter((batch) => batch.isFinished).length
  const done = batches.reduce((sum, batch) => sum + batch.results.length, 0)
  return {
    batches_done: finished,
    batches_pending: batches.length - finished,
    cmds_done: done,
    cmds_pending: batches.reduce((sum, batch) => sum + batch.items.length, 0) - done,
  }
}

function forgetOld(batches: Map<string, Batch>): void {
  let bytes = [...batches.values()].reduce((sum, batch) => sum + batch.keptBytes, 0)
  for (const [id, batch] of batches) {
    if (batches.size < BATCHES_MAX && bytes <= RESULTS_BYTES_MAX) return
    if (!batch.isFinished) continue
    batches.delete(id)
    bytes -= batch.keptBytes
  }
}
