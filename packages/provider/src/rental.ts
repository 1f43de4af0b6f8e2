import type { Agreement } from '@emet/core'
import { type BreakCode, deadlineOf, isOver, moveTask, type TaskMove, type TaskState } from './agreement-task.ts'
import { createDebitNotes, type DebitNotes } from './debit-notes.ts'
import { deliverInvoice } from './invoice.ts'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import { readTerms, type Terms } from './terms.ts'
import type { ProviderDeps, RunningUnit, UnitExit } from './types.ts'

/** One approved agreement, from its approval to the delivery of its invoice. */
export interface Rental {
  readonly agreementId: string
  readonly state: TaskState
  /** Activities that are served now. */
  readonly activities: number
  /** The daemon asks for an activity. Asking for the same one again changes nothing. */
  createActivity(activityId: string): void
  destroyActivity(activityId: string): void
  /** The requestor has ended the agreement. */
  terminatedByRequestor(): void
  break(code: BreakCode, message: string): void
  /** Resolves when the place is free again; bills may still be under way. */
  readonly over: Promise<void>
  /** Resolves when nothing is left to do: processes gone, agreement ended, invoice delivered. */
  readonly finished: Promise<void>
}

export type RentalInput = {
  readonly agreement: Agreement
  /** The agreement as exe-units read it. */
  readonly expandedAgreement: unknown
  /** Activities that ended in a former life of the agent, and what was billed for each. */
  readonly past: readonly { readonly activityId: string; readonly amount: bigint }[]
  /** Aborts when the agent must end at once; what is unfinished goes on in its next life. */
  readonly signal: AbortSignal
}

/** What the parts of a rental share. */
type Context = {
  readonly deps: ProviderDeps
  readonly options: ParsedProviderOptions
  readonly input: RentalInput
  readonly agreementId: string
  readonly terms: Terms
  readonly notes: DebitNotes
  readonly units: Map<string, RunningUnit>
  /** Every activity of the agreement, past ones too. */
  readonly known: Set<string>
  /** Activities to be stopped; one may be told so before its process has started. */
  readonly doomed: Set<string>
  readonly isOver: () => boolean
}

export function createRental(deps: ProviderDeps, options: ParsedProviderOptions, input: RentalInput): Rental {
  const { agreement, signal } = input
  const { agreementId } = agreement
  const terms = readTerms(agreement)
  const logger = deps.logger.child({ agreementId })
  const { promise: over, resolve: resolveOver } = Promise.withResolvers<void>()
  const work = new Set<Promise<void>>()
  let state: TaskState = { kind: 'idle', sinceMs: deps.clock.nowMs() }
  let cancelTimer = () => {}

  const armTimer = () => {
    cancelTimer()
    const deadline = deadlineOf(state, terms.expirationMs, options.idleAgreementTimeoutSec)
    if (!deadline) return
    const { atMs, code, message } = deadline
    cancelTimer = deps.clock.setTimer(atMs - deps.clock.nowMs(), () => breakOff(code, message))
  }
  const move = (next: TaskMove) => {
    state = moveTask(state, next)
    logger.info('a rental moved', { state: state.kind, move: next.kind })
    armTimer()
    if (isOver(state)) resolveOver()
  }
  const breakOff = (code: BreakCode, message: string) => {
    if (!isOver(state)) move({ kind: 'break', code, message })
  }
  const approvedMs = (agreement.approvedDate ?? agreement.timestamp) / 1000
  const onTrouble = ({ code, message }: { code: BreakCode; message: string }) => breakOff(code, message)
  const notes = createDebitNotes(deps, options, { agreementId, terms, approvedMs, onTrouble })
  const maps = { units: new Map(), known: new Set<string>(), doomed: new Set<string>() }
  const context: Context = { deps, options, input, agreementId, terms, notes, ...maps, isOver: () => isOver(state) }

  const track = (what: string, promise: Promise<unknown>) => {
    const tracked: Promise<void> = promise
      .then(() => {})
      .catch((error) => {
        if (!signal.aborted) logger.error('a part of a rental failed', { what, error })
      })
      .finally(() => work.delete(tracked))
    work.add(tracked)
  }
  const runActivity = async (activityId: string) => {
    await serve(context, activityId)
    if (signal.aborted || isOver(state)) return
    move({ kind: 'activity-ended', activityId, atMs: deps.clock.nowMs() })
    if (!terms.allowsManyActivities) move({ kind: 'close', by: 'provider' })
  }
  const finish = async () => {
    await Promise.race([over, aborted(signal)])
    cancelTimer()
    if (signal.aborted) return
    await Promise.all([...context.units.values()].map((unit) => unit.stop()))
    await terminate(context, state)
    while (work.size > 0) await Promise.all(work)
    const { paymentTimeoutSec } = terms
    const bill = { agreementId, activityIds: [...context.known], amount: notes.total(), paymentTimeoutSec }
    if (context.known.size > 0) await deliverInvoice(deps, options, bill, signal)
  }

  for (const { activityId, amount } of input.past) {
    context.known.add(activityId)
    notes.restore(activityId, amount)
  }
  armTimer()
  const finished = finish().catch((error) => {
    if (!signal.aborted) logger.error('a rental could not be finished', { error })
  })
  return {
    agreementId,
    get state() {
      return state
    },
    get activities() {
      return context.units.size
    },
    createActivity: (activityId) => {
      if (context.known.has(activityId)) return
      if (state.kind !== 'idle') return track('refusal', refuse(context, activityId, state))
      context.known.add(activityId)
      move({ kind: 'activity-created', activityId })
      track('activity', runActivity(activityId))
    },
    destroyActivity: (activityId) => {
      context.doomed.add(activityId)
      const unit = context.units.get(activityId)
      if (unit) track('stop', unit.stop())
    },
    terminatedByRequestor: () => {
      if (!isOver(state)) move({ kind: 'close', by: 'requestor' })
    },
    break: breakOff,
    over,
    finished,
  }
}

/** From the start of the exe-unit to the delivery of the last debit note. */
async function serve(context: Context, activityId: string): Promise<void> {
  const { deps, notes, input } = context
  try {
    const exit = await runUnit(context, activityId)
    if (exit === 'aborted') return
    if (exit.code !== 0) await reportTerminated(context, activityId, 'execution error', describeExit(exit))
    await notes.close(activityId, input.signal)
  } catch (error) {
    if (input.signal.aborted) return
    deps.logger.error('an activity could not be served', { activityId, error })
    const message = error instanceof Error ? error.message : String(error)
    await reportTerminated(context, activityId, 'creation failed', message)
  }
}

async function runUnit(context: Context, activityId: string): Promise<UnitExit | 'aborted'> {
  const { deps, agreementId, terms, notes, units, input } = context
  const request = { activityId, agreementId, runtime: terms.runtime, agreement: input.expandedAgreement }
  const unit = deps.exeUnits.find(activityId, agreementId) ?? (await deps.exeUnits.launch(request))
  units.set(activityId, unit)
  const billing = new AbortController()
  const billed = notes.run(activityId, AbortSignal.any([input.signal, billing.signal])).catch(() => {})
  try {
    if (context.isOver() || context.doomed.has(activityId)) await unit.stop()
    return await Promise.race([unit.exited, aborted(input.signal)])
  } finally {
    billing.abort()
    await billed
    units.delete(activityId)
  }
}

function refuse(context: Context, activityId: string, state: TaskState): Promise<unknown> {
  const why = state.kind === 'computing' ? 'Only single Activity allowed' : `the agreement is ${state.kind}`
  return reportTerminated(context, activityId, 'creation failed', why)
}

function reportTerminated(context: Context, activityId: string, reason: string, errorMessage: string) {
  const { deps, options, input } = context
  const body = { state: ['Terminated', null] as ['Terminated', null], reason, errorMessage }
  return untilDone(deps, 'report of a terminated activity', options.retryMs, input.signal, () =>
    deps.client.activity.setState({ params: { activityId }, body, signal: input.signal }),
  )
}

/** Tells the requestor that the agreement is over, unless that was its own wish. */
async function terminate({ deps, options, input, agreementId }: Context, state: TaskState): Promise<void> {
  if (state.kind === 'closed' && state.by === 'requestor') return
  const body =
    state.kind === 'broken'
      ? { message: state.message, 'golem.provider.code': state.code }
      : { message: 'Finished with success.', 'golem.provider.code': 'Success' }
  const { signal } = input
  await untilDone(deps, 'termination of an agreement', options.retryMs, signal, async () => {
    const current = await deps.client.market.getAgreement({ params: { agreementId }, signal })
    if (current.state !== 'Approved') return
    await deps.client.market.terminateAgreement({ params: { agreementId }, body, signal })
  })
}

const describeExit = ({ code, signal }: UnitExit): string =>
  signal === null ? `the exe-unit exited with code ${code}` : `the exe-unit was ended by ${signal}`

function aborted(signal: AbortSignal): Promise<'aborted'> {
  if (signal.aborted) return Promise.resolve('aborted')
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve('aborted'), { once: true }))
}
