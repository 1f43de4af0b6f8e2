import { ApiError, hasStatus } from '@emet/api'
import { type ExeScript, type ExeScriptCommandResult, messageOf, type RuntimeEventKind } from '@emet/core'
import type { SdkDeps } from './daemon.ts'
import { GolemError, type Phase } from './errors.ts'
import { POLL_FAILURES_MAX, POLL_PAUSE_MS, POLL_SECONDS } from './limits.ts'
import { abortable } from './scope.ts'

/** How long the live stream may bring nothing after the results are there before we give up on it, in milliseconds. */
const STREAM_GRACE_MS = 5_000
/** How long a machine that gave no results may take to say what state it is in. */
const STATE_QUERY_SECONDS = 2

/** Our exe-units say so when output came faster than it was read. */
const EVENTS_LOST = /^\d+ events were dropped/

export type BatchInput = {
  readonly activityId: string
  readonly providerId: string
  readonly script: ExeScript
  readonly phase: Phase
  readonly signal: AbortSignal
  /** What happens while the batch runs, by command. */
  readonly onEvent?: (index: number, kind: RuntimeEventKind) => void
}

/** What became of a batch: the results of the commands that ran, and exit codes where the live stream told them. */
export type BatchOutcome = {
  readonly results: readonly ExeScriptCommandResult[]
  readonly exitCodes: ReadonlyMap<number, number>
  /** Whether the live stream has told everything, to its end. */
  readonly isStreamWhole: boolean
}

/**
 * Runs an exe-script to its end. Results are polled, which misses nothing; events are streamed beside it, for those who
 * want to see them as they come. Throws `GolemError` when the machine is lost, the signal's reason when it aborts.
 */
export async function runBatch(deps: SdkDeps, input: BatchInput): Promise<BatchOutcome> {
  const { client, clock, log } = deps
  const { activityId, script, signal, onEvent } = input
  const body = { text: JSON.stringify(script) }
  const batchId = await abortable(client.activity.exec({ params: { activityId }, body, signal }), signal)
  const exitCodes = new Map<number, number>()
  const streaming = new AbortController()
  const last = script.length - 1
  const both = AbortSignal.any([signal, streaming.signal])
  let lastEventMs = 0
  let isStreamWhole = false
  let hasLost = false
  const stream = async () => {
    const params = { activityId, batchId }
    for await (const { data } of client.activity.getExecResults.stream({ params, signal: both })) {
      lastEventMs = clock.monotonicMs()
      onEvent?.(data.index, data.kind)
      if ('progress' in data.kind && EVENTS_LOST.test(data.kind.progress.message ?? '')) hasLost = true
      if (!('finished' in data.kind)) continue
      exitCodes.set(data.index, data.kind.finished.return_code)
      isStreamWhole = data.index === last || data.kind.finished.return_code !== 0
      if (isStreamWhole) return
    }
  }
  const streamed = stream().catch((error) => {
    if (!signal.aborted && !streaming.signal.aborted)
      log.debug('the live stream broke off', { error: messageOf(error) })
  })
  const stalled = async () => {
    lastEventMs = clock.monotonicMs()
    while (!both.aborted && clock.monotonicMs() - lastEventMs < STREAM_GRACE_MS) {
      await clock.sleep(STREAM_GRACE_MS, both).catch(() => {})
    }
  }
  try {
    const results = await abortable(pollResults(deps, input, batchId), signal)
    await Promise.race([streamed, stalled()])
    signal.throwIfAborted()
    return { results, exitCodes, isStreamWhole: isStreamWhole && !hasLost }
  } finally {
    streaming.abort()
  }
}

async function pollResults(deps: SdkDeps, input: BatchInput, batchId: string): Promise<ExeScriptCommandResult[]> {
  const { client, clock } = deps
  const { activityId, signal } = input
  for (let failures = 0; ; ) {
    try {
      const query = { timeout: POLL_SECONDS }
      const askedMs = clock.monotonicMs()
      const results = await client.activity.getExecResults({ params: { activityId, batchId }, query, signal })
      if (results.at(-1)?.isBatchFinished) return results
      failures = 0
      if (clock.monotonicMs() - askedMs < POLL_PAUSE_MS) await clock.sleep(POLL_PAUSE_MS, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (hasStatus(error, 408)) continue
      failures++
      const end = await endOfActivity(deps, input)
      if (end !== undefined) throw lostError(input, `the activity was ended: ${end}`, error)
      if (failures >= POLL_FAILURES_MAX || isFinal(error)) throw lostError(input, messageOf(error), error)
      await clock.sleep(POLL_PAUSE_MS * failures, signal)
    }
  }
}

const isFinal = (error: unknown) => error instanceof ApiError && hasStatus(error, 400, 401, 403, 404)

/** Why the activity has ended; undefined while it lives, as far as one can tell. */
async function endOfActivity({ client }: SdkDeps, { activityId, signal }: BatchInput): Promise<string | undefined> {
  const query = { timeout: STATE_QUERY_SECONDS }
  const found = await client.activity.getState({ params: { activityId }, query, signal }).catch(() => undefined)
  if (found?.state[0] !== 'Terminated') return undefined
  return [found.reason, found.errorMessage].filter(Boolean).join(': ') || 'the provider gives no reason'
}

function lostError({ phase, providerId }: BatchInput, why: string, cause: unknown): GolemError {
  return new GolemError('activity.lost', `the machine does not answer any more: ${why}`, {
    phase,
    blame: 'provider',
    retryable: true,
    providerId,
    cause,
    hint: 'Rent another one; avoid this provider',
  })
}

/** The command that failed, if one did. */
export function failedResult(results: readonly ExeScriptCommandResult[]): ExeScriptCommandResult | undefined {
  return results.find((result) => result.result === 'Error')
}

/** The exit code of a command: from the live stream, else from the words of its result. */
export function exitCodeOf(index: number, { results, exitCodes }: BatchOutcome): number {
  const streamed = exitCodes.get(index)
  if (streamed !== undefined) return streamed
  const result = results.find((candidate) => candidate.index === index)
  if (result?.result === 'Ok') return 0
  const said = /\bcode:? (-?\d+)/.exec(result?.message ?? '')
  return said ? Number(said[1]) : -1
}
