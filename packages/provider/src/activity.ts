import { messageOf } from '@emet/core'
import type { DebitNotes } from './debit-notes.ts'
import type { ParsedProviderOptions } from './options.ts'
import { linkedController, unlessAborted, untilDone } from './retry.ts'
import type { LaunchRequest, ProviderDeps, RunningUnit, UnitExit } from './types.ts'

/** One activity: its exe-unit from the start to the end, and the bills for it. */
export interface ServedActivity {
  /** Asks the exe-unit to end, even before it has started. */
  stop(): void
  /** Ends the exe-unit at once. */
  kill(): Promise<void>
  /** Resolves when its exe-unit is gone, with whether there ever was one. */
  readonly gone: Promise<Ending['kind']>
  /** Resolves when its last debit note is delivered, too. */
  readonly done: Promise<void>
}

export type ServeInput = {
  readonly deps: ProviderDeps
  readonly options: ParsedProviderOptions
  readonly notes: DebitNotes
  readonly request: LaunchRequest
  /** Whether an exe-unit may be started when none is found; one that was lost is not replaced. */
  readonly mayLaunch: boolean
  /** Aborts when the agent ends at once. */
  readonly signal: AbortSignal
}

/** How the time of an exe-unit ended. `never-started` costs nothing. */
type Ending = { readonly kind: 'never-started' | 'ended'; readonly reason: string; readonly message?: string }

/** Serves an activity. What goes wrong with its exe-unit is reported as its end; the promises reject only on abort. */
export function serveActivity(input: ServeInput): ServedActivity {
  const { deps, options, notes, request, mayLaunch, signal } = input
  const { activityId, agreementId } = request
  let unit: RunningUnit | undefined
  let isUnwanted = false

  const stop = () => {
    isUnwanted = true
    unit?.stop().catch((error) => deps.logger.error('an exe-unit could not be stopped', { activityId, error }))
  }
  const kill = async () => {
    isUnwanted = true
    await unit?.kill()
  }
  const begin = async (): Promise<RunningUnit | Ending> => {
    const found = deps.exeUnits.find(activityId, agreementId)
    if (found) return found
    if (!mayLaunch) return lost
    if (isUnwanted) return unwanted
    return deps.exeUnits.launch(request)
  }
  const work = async (): Promise<Ending> => {
    const begun = await begin().catch((error) => notStarted(error))
    if ('kind' in begun) return begun
    unit = begun
    if (isUnwanted) stop()
    const { end: billing, unlink } = linkedController(signal)
    const billed = notes.run(activityId, billing.signal)
    try {
      const exit = await unlessAborted(unit.exited, signal)
      return isUnwanted ? destroyed : endingOf(exit)
    } finally {
      billing.abort()
      unlink()
      await billed
    }
  }
  const notStarted = (error: unknown): Ending => {
    deps.logger.error('an exe-unit could not be started', { activityId, agreementId, error })
    return { kind: 'never-started', reason: NEVER_STARTED, message: messageOf(error) }
  }
  const ended = work()
  const finish = async () => {
    const ending = await ended
    await reportEnd(deps, options, activityId, ending, signal)
    if (ending.kind === 'ended') await notes.close(activityId, signal)
  }
  return { stop, kill, gone: ended.then(({ kind }) => kind), done: finish() }
}

/** The reason in the state of an activity that never ran, and is not billed. (Golem: spelled so.) */
export const NEVER_STARTED = 'creation failed'

const unwanted: Ending = { kind: 'never-started', reason: NEVER_STARTED, message: 'destroyed before it had started' }
const destroyed: Ending = { kind: 'ended', reason: 'destroyed' }
const lost: Ending = {
  kind: 'ended',
  reason: 'execution aborted',
  message: 'the exe-unit ended while the provider agent was away',
}

function endingOf({ code, signal }: UnitExit): Ending {
  // One that was started by a former agent tells no code.
  if (code === null && signal === null)
    return { kind: 'ended', reason: 'execution aborted', message: 'the exe-unit ended' }
  if (signal !== null) {
    return { kind: 'ended', reason: 'execution aborted', message: `the exe-unit was ended by ${signal}` }
  }
  return { kind: 'ended', reason: 'execution error', message: `the exe-unit exited with code ${code}` }
}

/** Tells the daemon that an activity has ended, unless its exe-unit has done so. */
export function reportEnd(
  { client, clock, logger }: ProviderDeps,
  { retryMs }: ParsedProviderOptions,
  activityId: string,
  { reason, message }: Pick<Ending, 'reason' | 'message'>,
  signal: AbortSignal,
): Promise<void> {
  const params = { activityId }
  const body = { state: ['Terminated', null] as ['Terminated', null], reason, errorMessage: message }
  return untilDone({ clock, logger }, 'report of a terminated activity', { pauseMs: retryMs }, signal, async () => {
    const { state } = await client.activity.getState({ params, query: {}, signal })
    if (state[0] === 'Terminated') return
    logger.info('an activity has ended without a report of its exe-unit', { activityId, reason, message })
    await client.activity.setState({ params, body, signal })
  })
}
