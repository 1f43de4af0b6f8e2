import type { Agreement, Logger } from '@emet/core'
import { NEVER_STARTED, reportEnd, type ServedActivity, serveActivity } from './activity.ts'
import type { BreakCode, TaskState } from './agreement-task.ts'
import { createDebitNotes, type DebitNotes } from './debit-notes.ts'
import { expandAgreement } from './expand-agreement.ts'
import { deliverInvoice } from './invoice.ts'
import type { ParsedProviderOptions } from './options.ts'
import type { History } from './resume.ts'
import { linkedController, untilDone } from './retry.ts'
import { createTask, type Task } from './task.ts'
import { readTerms, type Terms } from './terms.ts'
import type { ProviderDeps } from './types.ts'
import { createWork, type Work } from './work.ts'

/** One approved agreement, from its approval to the delivery of its invoice. */
export interface Rental {
  readonly agreementId: string
  readonly state: TaskState
  /** Activities that are served now. */
  readonly activities: number
  /** The daemon asks for an activity. Asking for the same one again changes nothing. */
  createActivity(activityId: string): void
  destroyActivity(activityId: string): void
  /** Somebody else than this agent has ended the agreement. */
  ended(by: 'requestor' | 'provider'): void
  break(code: BreakCode, message: string): void
  /** Ends all exe-units at once. */
  kill(): Promise<void>
  /** Resolves when the place is free again; bills may still be under way. */
  readonly vacated: Promise<void>
  /** Resolves when nothing is left to do: processes gone, agreement ended, invoice delivered; or after an abort. */
  readonly finished: Promise<void>
}

export type RentalInput = {
  readonly agreement: Agreement
  /** What happened in former lives of the agent. */
  readonly history: History
  /** Aborts when the agent must end at once; what is unfinished goes on in its next life. */
  readonly signal: AbortSignal
}

/** What the parts of a rental share. */
type Parts = {
  readonly deps: ProviderDeps
  readonly options: ParsedProviderOptions
  readonly agreement: Agreement
  readonly terms: Terms
  readonly notes: DebitNotes
  readonly task: Task
  readonly work: Work
  readonly logger: Logger
  /** Every activity that was heard of: each is answered once. */
  readonly known: Set<string>
  /** Activities that ran, and are billed. */
  readonly billed: Set<string>
  readonly live: Map<string, ServedActivity>
  /** Aborts when the agent must end at once. */
  readonly signal: AbortSignal
  /** Aborts when the agreement is over, too. */
  readonly over: AbortSignal
}

/** Throws `PricingError` when the agreement has no price that we understand; we never offer such a one. */
export function createRental(deps: ProviderDeps, options: ParsedProviderOptions, input: RentalInput): Rental {
  const { agreementId } = input.agreement
  const { end: life, unlink } = linkedController(input.signal)
  const parts = createParts(deps, options, input, life.signal)
  const { task, work, live, known, logger } = parts
  const vacated = Promise.withResolvers<void>()

  const run = async () => {
    try {
      await finish(parts, vacated.resolve)
    } catch (error) {
      if (!input.signal.aborted) {
        logger.error('the bills of a rental are not delivered; the agent tries again when it starts', { error })
      }
    } finally {
      life.abort()
      task.release()
      vacated.resolve()
      await work.settled()
      unlink()
    }
  }
  resume(parts, input.history)
  return {
    agreementId,
    get state() {
      return task.state
    },
    get activities() {
      return live.size
    },
    createActivity: (activityId) => {
      if (known.has(activityId)) return
      if (task.state.kind === 'idle') serve(parts, activityId, true)
      else refuse(parts, activityId)
    },
    destroyActivity: (activityId) => live.get(activityId)?.stop(),
    ended: task.close,
    break: task.break,
    kill: async () => void (await Promise.all([...live.values()].map((activity) => activity.kill()))),
    vacated: vacated.promise,
    finished: run(),
  }
}

function createParts(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  { agreement, history }: RentalInput,
  signal: AbortSignal,
): Parts {
  const { agreementId, approvedDate, timestamp } = agreement
  const terms = readTerms(agreement)
  const logger = deps.logger.child({ agreementId })
  const { end: over } = linkedController(signal)
  const { idleAgreementTimeoutSec: idleTimeoutSec } = options
  const { expirationMs } = terms
  const task = createTask(
    { clock: deps.clock, logger },
    { expirationMs, idleTimeoutSec, onOver: () => over.abort(new Error('the agreement is over')) },
  )
  const notes = createDebitNotes(deps, options, {
    agreementId,
    terms,
    // Dated by the requestor's clock, which may be ahead of ours.
    approvedMs: Math.min((approvedDate ?? timestamp) / 1000, deps.clock.nowMs()),
    past: history.notes,
    onTrouble: ({ code, message }) => task.break(code, message),
    over: over.signal,
  })
  const maps = { known: new Set<string>(), billed: new Set<string>(), live: new Map<string, ServedActivity>() }
  const shared = { deps, options, agreement, terms, notes, task, logger, signal, over: over.signal }
  return { ...shared, ...maps, work: createWork(logger, signal) }
}

/** Takes an activity on. `mayLaunch`: see `ServeInput`. */
function serve(parts: Parts, activityId: string, mayLaunch: boolean): ServedActivity {
  const { deps, options, agreement, terms, notes, task, work, live, known, billed, signal } = parts
  const { agreementId } = agreement
  known.add(activityId)
  if (task.state.kind === 'idle') task.move({ kind: 'activity-created', activityId })
  const request = { activityId, agreementId, runtime: terms.runtime, agreement: expandAgreement(agreement) }
  const activity = serveActivity({ deps, options, notes, request, mayLaunch, signal })
  live.set(activityId, activity)
  const onGone = (kind: 'ended' | 'never-started') => {
    live.delete(activityId)
    if (kind === 'ended') billed.add(activityId)
    if (task.state.kind !== 'computing' || task.state.activityId !== activityId) return
    task.move({ kind: 'activity-ended', activityId, atMs: deps.clock.nowMs() })
    if (!terms.allowsManyActivities) task.close('provider')
  }
  work.track('activity', activity.done)
  work.track('end of an activity', activity.gone.then(onGone))
  return activity
}

function refuse({ deps, options, task, work, known, logger, signal }: Parts, activityId: string): void {
  known.add(activityId)
  const isBusy = task.state.kind === 'computing'
  const message = isBusy ? 'Only single Activity allowed' : `the agreement is ${task.state.kind}`
  logger.info('an activity was refused', { activityId, message })
  work.track('refusal', reportEnd(deps, options, activityId, { reason: NEVER_STARTED, message }, signal))
}

/** Goes on with what a former life left: running activities are served, ended ones billed to the last second. */
function resume(parts: Parts, { activities, isInvoiced }: History): void {
  const { agreement, terms, notes, task, work, known, billed, signal } = parts
  const ofStanding = (wanted: string) => activities.filter(({ standing }) => standing === wanted)
  const ended = ofStanding('ended')
  if (agreement.state !== 'Approved') task.close('requestor')
  if (isInvoiced || (ended.length > 0 && !terms.allowsManyActivities)) task.close('provider')
  for (const { activityId } of activities) known.add(activityId)
  for (const { activityId } of ended) {
    billed.add(activityId)
    work.track('last debit note', notes.close(activityId, signal))
  }
  for (const { activityId, standing } of [...ofStanding('running'), ...ofStanding('new')]) {
    const isNext = task.state.kind === 'idle'
    const activity = serve(parts, activityId, isNext && standing === 'new')
    if (!isNext) activity.stop()
  }
}

/** From the end of the agreement to the delivery of its invoice. */
async function finish(parts: Parts, onVacated: () => void): Promise<void> {
  const { deps, options, agreement, terms, notes, work, live, billed, logger, signal, over } = parts
  const { agreementId, timestamp: madeAt } = agreement
  if (!over.aborted) await new Promise((resolve) => over.addEventListener('abort', resolve, { once: true }))
  signal.throwIfAborted()
  const { state } = parts.task
  for (const activity of live.values()) activity.stop()
  await Promise.all([...live.values()].map(({ gone }) => gone))
  onVacated()
  const attempt = () => terminate(parts, state)
  const isTold = await attempt().then(
    () => true,
    (error) => void logger.warn('the requestor could not be told of the end yet', { error }),
  )
  await work.settled()
  signal.throwIfAborted()
  const bill = { agreementId, madeAt, activityIds: [...billed], amount: notes.total() }
  const { paymentTimeoutSec } = terms
  // A requestor that cannot be reached holds up neither of the two.
  await Promise.all([
    billed.size > 0 ? deliverInvoice(deps, options, { ...bill, paymentTimeoutSec }, signal) : undefined,
    isTold ? undefined : untilDone(deps, 'termination of an agreement', { pauseMs: options.retryMs }, signal, attempt),
  ])
}

/** Ends the agreement, unless that was the requestor's own wish. */
async function terminate({ deps, agreement, signal }: Parts, state: TaskState): Promise<void> {
  if (state.kind === 'closed' && state.by === 'requestor') return
  const params = { agreementId: agreement.agreementId }
  const body =
    state.kind === 'broken'
      ? { message: state.message, 'golem.provider.code': state.code }
      : { message: 'Finished with success.', 'golem.provider.code': 'Success' }
  const current = await deps.client.market.getAgreement({ params, signal })
  if (current.state !== 'Approved') return
  await deps.client.market.terminateAgreement({ params, body, signal })
}
