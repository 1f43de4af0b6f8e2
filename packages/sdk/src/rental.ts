import { type Agreement, messageOf } from '@emet/core'
import { type Account, createAccount } from './account.ts'
import type { SdkDeps } from './daemon.ts'
import { abortedError, golemErrorOf, isRefusal } from './daemon-errors.ts'
import type { Desk } from './desk.ts'
import { amendGolemError, GolemError } from './errors.ts'
import type { SdkEventBody } from './events.ts'
import { ABORT_FINISH_MS, POLL_PAUSE_MS } from './limits.ts'
import { createMachine, type Machine } from './machine.ts'
import type { OfferView } from './offers.ts'
import type { Publications } from './payload.ts'
import type { Purse } from './purse.ts'
import { startRun } from './run.ts'
import { insist, settleAll, withLimit } from './scope.ts'
import type { Receipt, Rental, RunOptions, TransferOptions } from './types.ts'

/** How far ahead of the budget's end a rental is ended, in seconds, and how often that is looked at. */
const BUDGET_MARGIN_SECONDS = 3
const BUDGET_CHECK_MS = 1_000
/** Least part of the time for ending that is left for the invoice, after the machine is gone. */
const USAGE_QUERY_MS = 500

export type RentalInput = {
  readonly number: number
  readonly agreement: Agreement
  readonly view: OfferView
  readonly allocationId: string
  readonly purse: Purse
  readonly env: Readonly<Record<string, string>> | undefined
  readonly limits: { readonly deploy: number; readonly start: number; readonly idle: number; readonly finish: number }
  readonly emit: (event: SdkEventBody, providerId?: string) => void
  /** Aborts what the caller no longer wants; the rental ends with it. */
  readonly signal: AbortSignal | undefined
  /** Frees what was held for the rental alone. Called once, at the very end. */
  readonly release: () => Promise<void>
}

/** A rental whose machine may not be up yet. */
export interface OpenRental extends Rental {
  readonly machine: Machine
}

/**
 * Begins the activity of a signed agreement and brings the machine up. When that fails, the activity and the agreement are
 * ended, `release` is not called, and the error is thrown.
 */
export async function openRental(
  deps: SdkDeps,
  desk: Desk,
  publications: Publications,
  input: RentalInput,
): Promise<OpenRental> {
  const { client, clock } = deps
  const { agreement, view, limits, signal } = input
  const { agreementId } = agreement
  const providerId = view.providerId
  const emit = (event: SdkEventBody) => input.emit(event, providerId)
  const ending = new AbortController()
  let activityId = ''
  const fetchUsage = async () => {
    if (!activityId) return undefined
    const query = { timeout: USAGE_QUERY_MS / 1000 }
    const slow = () => new Error('usage took too long')
    const usage = await withLimit(clock, USAGE_QUERY_MS, undefined, slow, (limited) =>
      client.activity.getUsage({ params: { activityId }, query, signal: limited }),
    )
    return usage.currentUsage
  }
  const account = createAccount(
    deps,
    {
      agreementId,
      providerId,
      providerName: view.name,
      pricing: view.pricing,
      threads: view.threads,
      allocationId: input.allocationId,
    },
    input.purse,
    { emit, fetchUsage, exhausted: () => ending.abort(exhaustedError(input, account)) },
  )
  const unwatch = desk.watch(agreementId, {
    account,
    terminated: ({ terminator, reason }) => {
      emit({ kind: 'agreement', phase: 'ended', agreementId, ...(reason ? { reason: reason.message } : {}) })
      if (terminator === 'Provider') ending.abort(terminatedError(providerId, reason?.message))
    },
  })
  const leave = input.purse.add(account)
  const open = { deps, input, account, ending, unwatch, leave, emit }
  const starting = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal
  try {
    account.begin('')
    activityId = await createActivity(deps, agreementId, limits.start, starting, providerId)
    account.begin(activityId)
    const machine = createMachine(deps, publications, {
      activityId,
      providerId,
      deployMs: limits.deploy,
      startMs: limits.start,
      env: input.env,
      emit,
    })
    await machine.ensureReady(starting)
    return assemble(open, machine, activityId, fetchUsage)
  } catch (error) {
    ending.abort(error)
    const told = golemErrorOf(error, 'start', { signal, providerId })
    await finish(open, activityId, limits.finish, told.summary, signal)
    throw amendGolemError(told, { costSoFar: account.receipt().accepted })
  }
}

type Open = {
  readonly deps: SdkDeps
  readonly input: RentalInput
  readonly account: Account
  readonly ending: AbortController
  readonly unwatch: () => void
  readonly leave: () => void
  readonly emit: (event: SdkEventBody) => void
}

async function createActivity(
  { client, clock }: SdkDeps,
  agreementId: string,
  limitMs: number,
  signal: AbortSignal,
  providerId: string,
): Promise<string> {
  const slow = () =>
    new GolemError('activity.failed', `the provider made no activity within ${limitMs / 1000} s`, {
      phase: 'start',
      blame: 'provider',
      retryable: true,
      providerId,
    })
  const created = await withLimit(clock, limitMs, signal, slow, (limited) =>
    client.activity.createActivity({ query: { timeout: limitMs / 1000 }, body: { agreementId }, signal: limited }),
  )
  return typeof created === 'string' ? created : created.activityId
}

function assemble(
  open: Open,
  machine: Machine,
  activityId: string,
  fetchUsage: () => Promise<readonly number[] | undefined>,
): OpenRental {
  const { deps, input, account, ending, emit } = open
  const { view, agreement, signal, limits, purse } = input
  let closing: Promise<Receipt> | undefined
  const close = (reason = 'Finished') => {
    closing ??= closeRental(reason)
    return closing
  }
  const closeRental = async (reason: string) => {
    stopWatching()
    ending.abort(closedError(view.providerId, reason))
    await finish(open, activityId, limits.finish, reason, signal)
    await input.release()
    return account.receipt()
  }
  const closeSoon = (reason: string) =>
    void close(reason).catch((error) => deps.log.warn('a rental ended badly', { error }))
  const idle = createIdleWatch(deps, limits.idle, () => {
    ending.abort(idleError(view.providerId, limits.idle))
  })
  const stopChecking = every(deps, BUDGET_CHECK_MS, () => purse.check(BUDGET_MARGIN_SECONDS))
  const onAbort = () => ending.abort(abortedError('run', signal?.reason, { providerId: view.providerId }))
  const onEnding = () => closeSoon(messageOf(ending.signal.reason))
  signal?.addEventListener('abort', onAbort, { once: true })
  ending.signal.addEventListener('abort', onEnding, { once: true })
  const stopWatching = () => {
    idle.stop()
    stopChecking()
    signal?.removeEventListener('abort', onAbort)
    ending.signal.removeEventListener('abort', onEnding)
  }
  const scoped = <O extends TransferOptions>(options: O): O & { signal: AbortSignal } => ({
    ...options,
    signal: options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal,
  })
  const inUse = <T>(task: () => Promise<T>) => {
    if (ending.signal.aborted) return Promise.reject(golemErrorOf(ending.signal.reason, 'run'))
    return idle.during(task())
  }
  const run = (program: string, args: readonly string[] = [], options: RunOptions = {}) => {
    const ids = { activityId, providerId: view.providerId }
    const handle = startRun(deps, { ...ids, machine, program, args, options, ended: ending.signal, emit })
    idle.during(handle.result).catch(() => {})
    return handle
  }
  // An abort between the last step of the start and here has nobody else to see it.
  if (signal?.aborted) onAbort()
  return {
    number: input.number,
    providerId: view.providerId,
    providerName: view.name,
    agreementId: agreement.agreementId,
    activityId,
    pricing: view.pricing,
    ended: ending.signal,
    machine,
    run,
    stream: (program, args, options) => run(program, args, options).lines(),
    put: (source, to, options = {}) => inUse(() => machine.putAll([{ source, to }], scoped(options))),
    putAll: (files, options = {}) => {
      const sources = files.map(({ path, to }) => ({ source: { path }, to }))
      return inUse(() => machine.putAll(sources, scoped(options)))
    },
    get: (from, options = {}) => inUse(() => machine.getBytes(from, scoped(options))),
    getTo: (from, { path }, options = {}) => inUse(() => machine.getTo(from, path, scoped(options))),
    usage: async () => {
      const usage = await fetchUsage()
      if (usage) account.recordUsage(usage)
      return account.receipt().usage
    },
    receipt: account.receipt,
    close,
    settled: ({ signal: waiting } = {}) => account.settled(waiting),
    [Symbol.asyncDispose]: async () => void (await close()),
  }
}

/**
 * Stops the machine, ends the agreement, waits for the invoice; all within the limit, whatever fails. Once the caller's
 * signal has aborted, before or meanwhile, it must be quick.
 */
async function finish(
  { deps, input, account, unwatch, leave, emit }: Open,
  activityId: string,
  patientMs: number,
  reason: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { client, clock, log } = deps
  const limitMs = signal?.aborted ? Math.min(ABORT_FINISH_MS, patientMs) : patientMs
  const { agreementId } = input.agreement
  const code = signal?.aborted ? 'Cancelled' : 'Success'
  // Either daemon may be starting anew; what is not ended goes on costing money.
  const keepTrying = <T>(within: AbortSignal, attempt: () => Promise<T>) =>
    insist(clock, within, POLL_PAUSE_MS, isRefusal, attempt)
  const steps = (limited: AbortSignal) => [
    () => account.refresh(),
    async () => {
      if (!activityId) return
      // A provider that does not answer must not use up the time for ending the agreement.
      const destroyMs = limitMs / 2
      const query = { timeout: destroyMs / 1000 }
      await withLimit(
        clock,
        destroyMs,
        limited,
        () => new Error('the machine does not answer'),
        (inTime) =>
          keepTrying(inTime, () => client.activity.destroyActivity({ params: { activityId }, query, signal: inTime })),
      )
    },
    async () => account.end(),
    async () => {
      const body = { message: reason.slice(0, 1000), 'golem.requestor.code': code }
      await keepTrying(limited, () =>
        client.market.terminateAgreement({ params: { agreementId }, body, signal: limited }),
      )
      emit({ kind: 'agreement', phase: 'ended', agreementId, reason })
    },
    () => account.billed,
  ]
  const slow = () => new Error('no invoice has come yet')
  const hurry = new AbortController()
  let unhurry = () => {}
  const onAbort = () => {
    unhurry = clock.setTimer(ABORT_FINISH_MS, () => hurry.abort(slow()))
  }
  if (!signal?.aborted) signal?.addEventListener('abort', onAbort, { once: true })
  await withLimit(clock, limitMs, hurry.signal, slow, (limited) =>
    settleAll(steps(limited), (error) => log.debug('a step of ending a rental failed', { error: messageOf(error) })),
  ).catch((error) => emit({ kind: 'warning', message: `rental ended without its invoice: ${messageOf(error)}` }))
  signal?.removeEventListener('abort', onAbort)
  unhurry()
  account.end()
  leave()
  unwatch()
}

/** Calls `onIdle` when nothing has been in use for `limitMs`. */
function createIdleWatch({ clock }: SdkDeps, limitMs: number, onIdle: () => void) {
  let uses = 0
  let cancel = clock.setTimer(limitMs, onIdle)
  return {
    during: async <T>(task: Promise<T>): Promise<T> => {
      uses++
      cancel()
      try {
        return await task
      } finally {
        uses--
        if (uses === 0) cancel = clock.setTimer(limitMs, onIdle)
      }
    },
    stop: () => {
      cancel()
      uses = Number.POSITIVE_INFINITY
    },
  }
}

/** Runs `task` again and again, until the returned function is called. */
function every({ clock, log }: SdkDeps, periodMs: number, task: () => Promise<void>): () => void {
  let isOn = true
  let cancel = () => {}
  const arm = () => {
    cancel = clock.setTimer(periodMs, () => {
      task()
        .catch((error) => log.warn('the budget could not be checked', { error: messageOf(error) }))
        .finally(() => isOn && arm())
    })
  }
  arm()
  return () => {
    isOn = false
    cancel()
  }
}

const closedError = (providerId: string, reason: string) =>
  new GolemError('rental.closed', `the rental is closed: ${reason}`, {
    phase: 'finish',
    blame: 'user',
    retryable: false,
    providerId,
  })

const idleError = (providerId: string, idleMs: number) =>
  new GolemError('rental.idle', `the rental was not used for ${idleMs / 1000} s, and was ended`, {
    phase: 'run',
    blame: 'user',
    retryable: true,
    providerId,
    hint: 'Close rentals when done, or give limits.idle more time',
  })

const terminatedError = (providerId: string, reason = 'no reason given') =>
  new GolemError('agreement.terminated', `the provider has ended the agreement: ${reason}`, {
    phase: 'run',
    blame: 'provider',
    retryable: true,
    providerId,
  })

const exhaustedError = ({ view }: RentalInput, account: Account) =>
  new GolemError('budget.exhausted', 'the budget is used up, the rental was ended', {
    phase: 'run',
    blame: 'user',
    retryable: false,
    providerId: view.providerId,
    costSoFar: account.receipt().accepted,
    hint: 'Raise budget.max',
  })
