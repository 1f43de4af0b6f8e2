/**
 * The supervisor of one activity: takes batches, runs their commands, keeps the state, measures usage, enforces the
 * agreement's limits, and reports to the daemon.
 *
 *     const supervisor = createSupervisor(deps, options)
 *     await supervisor.start()                 // bound to the bus, state Initialized reported
 *     const why = await supervisor.ended       // a limit, the agreement's end, a lost daemon, or `stop(reason)`
 *     await supervisor.stop(why)               // nothing is left running; state Terminated reported
 */
import { mkdir, rm } from 'node:fs/promises'
import type { Bus } from '@emet/bus'
import { type Clock, type Logger, messageOf } from '@emet/core'
import type { AgreementTerms } from './agreement.ts'
import type { Batch, CommandResult } from './batch.ts'
import { createBatchBook, type ResultsRequest, type RunningCommand } from './batch-book.ts'
import { createCommands, failed } from './commands.ts'
import { bindEndpoints } from './endpoints.ts'
import { ExeUnitError } from './errors.ts'
import type { RuntimeEvent } from './events.ts'
import { type ActivityStateDocument, createReporter } from './reporter.ts'
import type { Runtime } from './runtime.ts'
import type { CommandKind } from './script.ts'
import { type ActivityMoment, begin, beginEnd, finish, INITIALIZED, NEW, TERMINATED } from './state.ts'
import type { Transfers } from './transfer/types.ts'
import { createUsage, LIMITS_INTERVAL_MS, type Meter } from './usage.ts'

/** Batches under way at one time. */
export const BATCHES_UNDER_WAY_MAX = 16
/** The pause between two measurements is at least so many times as long as the measurement. */
const MEASURING_SHARE = 10
/** How long the last report may take. */
const LAST_REPORT_MS = 2_000

export type SupervisorDeps = {
  readonly bus: Bus
  readonly clock: Clock
  readonly logger: Logger
  readonly runtime: Runtime
  readonly transfers: Transfers
  readonly meter: Meter
}

export type SupervisorOptions = {
  readonly activityId: string
  readonly reportUrl: string
  readonly terms: AgreementTerms
  /** Made at start; removed at the end unless `keepWorkDir`. */
  readonly workDir: string
  readonly keepWorkDir?: boolean | undefined
  /** Wall time of one run command. */
  readonly commandMs?: number | undefined
  readonly orphanMs?: number | undefined
}

/** Golem wire: `ActivityUsage`. */
export type ActivityUsageDocument = { readonly currentUsage: number[]; readonly timestamp: number }

export interface Supervisor {
  start(): Promise<void>
  /** Ends the activity. Idempotent; the first reason counts. */
  stop(reason: string): Promise<void>
  /** Resolves with the reason as soon as the activity must end. */
  readonly ended: Promise<string>
  exec(batchId: string, script: unknown): string
  results(batchId: string, request: ResultsRequest): Promise<CommandResult[]>
  events(batchId: string, signal: AbortSignal): AsyncIterable<RuntimeEvent>
  runningCommands(): RunningCommand[]
  state(): ActivityStateDocument
  usage(): ActivityUsageDocument
}

export function createSupervisor(deps: SupervisorDeps, options: SupervisorOptions): Supervisor {
  const { bus, clock, logger } = deps
  const { terms, activityId, reportUrl, workDir } = options
  const ending = new AbortController()
  const end = Promise.withResolvers<string>()
  const commands = createCommands(deps, options)
  const reporter = createReporter({ bus, clock, logger, onLost: (why) => end.resolve(why) }, options)
  const usage = createUsage({ clock, meter: deps.meter, counters: commands.counters }, usageOptions(terms, workDir))
  const batches = createBatchBook(clock, activityId)
  const scripts = new Set<Promise<void>>()
  const loops: Promise<void>[] = []
  let moment: ActivityMoment = NEW
  let reason: string | null = null
  let unbind = () => {}
  let stopping: Promise<void> | undefined

  const stateDocument = (): ActivityStateDocument => ({ state: moment.pair, reason, errorMessage: null })
  const move = (next: ActivityMoment) => {
    if (next === moment) return
    const isVisible = next.pair[0] !== moment.pair[0] || next.pair[1] !== moment.pair[1]
    moment = next
    if (isVisible) reporter.setState(stateDocument())
  }
  const runScript = async (batch: Batch): Promise<void> => {
    for (let index = 0; index < batch.items.length && !batch.isFinished && !ending.signal.aborted; index++) {
      const kind = batch.items[index]?.command.kind ?? 'sign'
      await batch.begin(index)
      await batch.finish(index, await runOne(batch, index, kind))
    }
    batch.close()
  }
  const runOne = async (batch: Batch, index: number, kind: CommandKind) => {
    try {
      move(begin(moment, kind))
    } catch (error) {
      return failed(messageOf(error))
    }
    const outcome = await commands.execute(batch, index, ending.signal)
    if (kind === 'terminate') for (const other of batches.all()) if (other !== batch) other.close()
    move(finish(moment, kind, outcome.code === 0))
    return outcome
  }
  const exec = (batchId: string, script: unknown): string => {
    if (ending.signal.aborted) throw new ExeUnitError('stopped', `activity ${activityId} is being terminated`)
    if (scripts.size >= BATCHES_UNDER_WAY_MAX) {
      throw new ExeUnitError('limit', `${BATCHES_UNDER_WAY_MAX} batches are under way; wait for one to finish`)
    }
    const batch = batches.open(batchId, script)
    const running = runScript(batch).catch((error) => {
      logger.error('a batch broke', { batchId, why: messageOf(error) })
      batch.close()
    })
    scripts.add(running)
    void running.finally(() => scripts.delete(running))
    return batchId
  }
  const watchLimits = async () => {
    while (!ending.signal.aborted) {
      const beganMs = clock.monotonicMs()
      const exceeded = await usage.measure()
      if (exceeded !== undefined) end.resolve(exceeded)
      if (terms.expiresAtMs !== undefined && clock.nowMs() > terms.expiresAtMs) end.resolve('the agreement has expired')
      // Measuring a large folder must not eat the machine.
      const pauseMs = Math.max(LIMITS_INTERVAL_MS, MEASURING_SHARE * (clock.monotonicMs() - beganMs))
      await clock.sleep(pauseMs, ending.signal).catch(() => {})
    }
  }
  const start = async () => {
    await mkdir(workDir, { recursive: true })
    unbind = bindEndpoints(bus, supervisor, {
      activityId,
      requestorId: terms.requestorId,
      providerId: terms.providerId,
    })
    await usage.measure()
    loops.push(watchLimits(), reporter.reportUsage(usage.vector, ending.signal))
    move(INITIALIZED)
    logger.info('the activity is initialized', { activityId, reportUrl, runtime: deps.runtime.name })
  }
  const stopOnce = async (why: string) => {
    end.resolve(why)
    reason = `${why}: ${JSON.stringify(batches.tally())}`
    move(beginEnd(moment))
    ending.abort(new ExeUnitError('stopped', `the activity is terminated: ${why}`))
    await commands.reset(why).catch((error) => logger.error('the runtime did not stop', { why: messageOf(error) }))
    await Promise.all(scripts)
    for (const batch of batches.all()) batch.close()
    await usage.measure().catch(() => undefined)
    await Promise.all(loops)
    if (!options.keepWorkDir) await rm(workDir, { recursive: true, force: true })
    move(TERMINATED)
    await lastReport()
    unbind()
    logger.info('the activity is terminated', { activityId, reason: why })
  }
  const lastReport = async () => {
    const late = new AbortController()
    const cancelTimer = clock.setTimer(LAST_REPORT_MS, () => late.abort())
    await reporter.flushed(late.signal)
    cancelTimer()
  }
  const supervisor: Supervisor = {
    start,
    stop: (why) => {
      stopping ??= stopOnce(why)
      return stopping
    },
    ended: end.promise,
    exec,
    results: batches.results,
    events: batches.events,
    runningCommands: batches.running,
    state: stateDocument,
    usage: () => ({ currentUsage: usage.vector(), timestamp: Math.floor(clock.nowMs() / 1000) }),
  }
  return supervisor
}

function usageOptions(terms: AgreementTerms, workDir: string) {
  const { usageVector: vector, memoryBytes, storageBytes } = terms
  return { vector, workDir, memoryBytes, storageBytes }
}
