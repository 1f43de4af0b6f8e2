import { fromMs, messageOf } from '@emet/core'
import type { SdkDeps } from './daemon.ts'
import { golemErrorOf } from './daemon-errors.ts'
import { buildDemand } from './demand.ts'
import type { Desk } from './desk.ts'
import { amendGolemError, GolemError, type GolemErrorCode } from './errors.ts'
import type { SdkEvent, SdkEventBody } from './events.ts'
import {
  ABORT_CLEANUP_MS,
  DEPLOY_LIMIT_MS,
  FIND_LIMIT_MS,
  FINISH_LIMIT_MS,
  IDLE_LIMIT_MS,
  NEGOTIATE_LIMIT_MS,
  RENT_RETRIES,
  RENTAL_DURATION_MS,
  START_LIMIT_MS,
  TRANSCRIPT_LINES_MAX,
} from './limits.ts'
import { toWei } from './money.ts'
import { type Claims, createNegotiation, type Negotiation } from './negotiation.ts'
import { type Publications, preparePayload } from './payload.ts'
import { createPurse, type Purse } from './purse.ts'
import { type OpenRental, openRental } from './rental.ts'
import { settleAll, withLimit } from './scope.ts'
import type { Limits, Rental, RentOptions, RentSpec } from './types.ts'

/** What rentals of one session share. */
export type RentContext = SdkDeps & {
  readonly desk: Desk
  readonly publications: Publications
  readonly subnet: string
  readonly network: string | undefined
  readonly appSessionId: string
  nextNumber(): number
}

/** What rentals of one group share: the money, and who has which provider. */
export type RentGroup = {
  readonly purse: Purse
  readonly allocationId: string
  readonly platform: string
  readonly claims: Claims
}

/** `search` steps are due as soon as a machine is up, `rental` steps when it is given back. */
type CleanupScope = 'search' | 'rental'
type Cleanup = {
  add(scope: CleanupScope, step: () => Promise<unknown>): void
  run(scope?: CleanupScope): Promise<void>
}

/** Reserves the money of a budget, or uses a given allocation. `release` frees what was reserved here. */
export async function openGroup(
  context: RentContext,
  options: RentOptions,
  durationMs: number,
  claims: Claims,
): Promise<RentGroup & { release(): Promise<void> }> {
  const { client, clock, log, hub } = context
  const { allocationId: given, budget, limits, signal } = options
  const max = toWei(budget.max, 'budget.max')
  const purse = createPurse(max)
  if (given !== undefined) {
    const { allocationId, paymentPlatform } = await client.payment.getAllocation({
      params: { allocationId: given },
      signal,
    })
    return { purse, allocationId, platform: paymentPlatform, claims, release: async () => {} }
  }
  const timeout = fromMs(clock.nowMs() + durationMs + (limits?.finish ?? FINISH_LIMIT_MS) + 3_600_000)
  const paymentPlatform = context.network === undefined ? undefined : { network: context.network }
  const allocation = await client.payment
    .createAllocation({ body: { totalAmount: max, timeout, paymentPlatform }, signal })
    .catch((error) => {
      throw allocationError(error, signal)
    })
  const { allocationId, paymentPlatform: platform } = allocation
  const emit = (phase: 'reserved' | 'released') =>
    hub.emit({ kind: 'payment', phase, amount: max, timeMs: clock.nowMs() })
  emit('reserved')
  const release = async () => {
    const slow = () => new Error('the daemon does not answer')
    await withLimit(clock, ABORT_CLEANUP_MS, undefined, slow, (limited) =>
      client.payment.releaseAllocation({ params: { allocationId }, signal: limited }),
    ).then(
      () => emit('released'),
      (error) => log.warn('an allocation could not be released', { allocationId, error: messageOf(error) }),
    )
  }
  return { purse, allocationId, platform, claims, release }
}

function allocationError(error: unknown, signal: AbortSignal | undefined): GolemError {
  const base = golemErrorOf(error, 'payment', { signal })
  if (base.code !== 'daemon.refused') return base
  return new GolemError('allocation.failed', `the budget could not be reserved: ${messageOf(error)}`, {
    phase: 'payment',
    blame: 'user',
    retryable: false,
    cause: error,
    hint: 'See "emet payment status"; on a test network "emet payment fund" gets tokens',
  })
}

/** Finds, signs and starts one machine. Throws `GolemError`; whatever was begun is ended then. */
export async function rentOne(
  context: RentContext,
  group: RentGroup,
  spec: RentSpec,
  options: RentOptions,
  release: () => Promise<void>,
): Promise<Rental> {
  const number = context.nextNumber()
  const transcript: string[] = []
  const note = (line: string) => void (transcript.push(line) > TRANSCRIPT_LINES_MAX && transcript.shift())
  const emit = (event: SdkEventBody, providerId?: string) =>
    context.hub.emit({
      ...event,
      timeMs: context.clock.nowMs(),
      rental: number,
      ...(providerId ? { providerId } : {}),
    } as SdkEvent)
  const cleanup = createCleanup(context)
  try {
    const negotiation = await beginSearch(context, group, spec, options, cleanup, note, emit)
    return await startAny(context, group, spec, options, { negotiation, number, note, emit, cleanup, release })
  } catch (error) {
    await cleanup.run()
    const told = golemErrorOf(error, 'find', { signal: options.signal })
    throw amendGolemError(told, { transcript: [...told.transcript, ...transcript] })
  }
}

async function beginSearch(
  context: RentContext,
  group: RentGroup,
  spec: RentSpec,
  options: RentOptions,
  cleanup: Cleanup,
  note: (line: string) => void,
  emit: (event: SdkEventBody, providerId?: string) => void,
): Promise<Negotiation> {
  const { client, clock, publications, subnet, appSessionId } = context
  const { signal, budget, limits } = options
  signal?.throwIfAborted()
  emit({ kind: 'image', phase: 'publish' })
  const payload = await preparePayload(spec.payload, publications, { signal })
  cleanup.add('rental', payload.close)
  const query = { allocationIds: [group.allocationId] }
  const decoration = await client.payment.getDemandDecorations({ query, signal })
  const durationMs = spec.durationMs ?? RENTAL_DURATION_MS
  const expiresMs = clock.nowMs() + durationMs
  const demand = buildDemand({ spec, payload, decoration, platform: group.platform, subnet, expiresMs, durationMs })
  const demandId = await client.market.createDemand({ body: demand, signal })
  cleanup.add('search', () => client.market.deleteDemand({ params: { subscriptionId: demandId } }))
  return createNegotiation(context, {
    demandId,
    demand,
    spec,
    perHourMax: budget.perHour === undefined ? undefined : toWei(budget.perHour, 'budget.perHour'),
    max: group.purse.max - group.purse.accepted,
    findMs: limits?.find ?? FIND_LIMIT_MS,
    negotiateMs: limits?.negotiate ?? NEGOTIATE_LIMIT_MS,
    claims: group.claims,
    avoided: new Set(),
    note,
    emit,
    appSessionId,
  })
}

type Starting = {
  readonly negotiation: Negotiation
  readonly number: number
  readonly note: (line: string) => void
  readonly emit: (event: SdkEventBody, providerId?: string) => void
  readonly cleanup: Cleanup
  readonly release: () => Promise<void>
}

/** Tries one provider after another until a machine is up. */
async function startAny(
  context: RentContext,
  group: RentGroup,
  spec: RentSpec,
  options: RentOptions,
  { negotiation, number, note, emit, cleanup, release }: Starting,
): Promise<Rental> {
  const { desk, publications } = context
  const signal = options.signal ?? new AbortController().signal
  const limits = phaseLimits(options.limits)
  const failures: GolemError[] = []
  for (;;) {
    const { agreement, view } = await negotiation.next(signal).catch((thrown) => {
      const error = golemErrorOf(thrown, 'find', { signal })
      if (failures.length > 0 && !signal.aborted) note(`no other provider: ${error.summary}`)
      throw tellingOf(failures, error, signal.aborted)
    })
    const input = { number, agreement, view, limits, emit, signal: options.signal, env: spec.env, ...group }
    const releaseAll = async () => {
      group.claims.release(view.providerId)
      await cleanup.run()
      await release()
    }
    try {
      const rental: OpenRental = await openRental(context, desk, publications, { ...input, release: releaseAll })
      await cleanup.run('search')
      return rental
    } catch (thrown) {
      // The claim stays with a provider that failed, so that no other rental of the group falls for it.
      const error = golemErrorOf(thrown, 'start', { signal })
      negotiation.exclude(view.providerId)
      const message = `${view.name} failed before start: ${error.summary}`
      note(message)
      emit({ kind: 'warning', message, cause: error }, view.providerId)
      if (signal.aborted || !error.retryable || failures.length >= (options.retries ?? RENT_RETRIES)) {
        throw tellingOf(failures, error, signal.aborted || !error.retryable)
      }
      failures.push(error)
    }
  }
}

/** Failures from the most to the least telling about what is wrong. The machine itself says more than silence does. */
const TELLING: readonly GolemErrorCode[] = ['deploy.failed', 'start.failed', 'activity.failed', 'agreement.terminated']

/**
 * The error to throw after some failures: the last one when it `isDecisive`, else the most telling, with what all of them
 * have cost. Among equals the last counts; the transcript has them all.
 */
function tellingOf(failures: readonly GolemError[], last: GolemError, isDecisive: boolean): GolemError {
  const all = [...failures, last]
  const rank = ({ code, phase }: GolemError) => {
    if (phase === 'find') return Number.POSITIVE_INFINITY
    const at = TELLING.indexOf(code)
    return at < 0 ? TELLING.length : at
  }
  const best = isDecisive ? last : all.reduce((one, other) => (rank(other) <= rank(one) ? other : one))
  const costSoFar = all.reduce((sum, error) => sum + error.costSoFar, 0n)
  const alike = all.filter(({ summary }) => summary === best.summary).length
  const hint = alike > 1 && best.hint === undefined && best.blame === 'provider'
  return amendGolemError(best, {
    costSoFar,
    ...(hint ? { hint: `${alike} providers failed in the same way: perhaps the cause is what they were given` } : {}),
  })
}

function phaseLimits(limits: Limits = {}) {
  return {
    deploy: limits.deploy ?? DEPLOY_LIMIT_MS,
    start: limits.start ?? START_LIMIT_MS,
    idle: limits.idle ?? IDLE_LIMIT_MS,
    finish: limits.finish ?? FINISH_LIMIT_MS,
  }
}

/** Steps that undo what was done, run once, the last first, within the time for aborts. */
function createCleanup({ clock, log }: SdkDeps): Cleanup {
  let steps: { readonly scope: CleanupScope; readonly step: () => Promise<unknown> }[] = []
  return {
    add: (scope, step) => void steps.unshift({ scope, step }),
    run: async (wanted) => {
      const due = steps.filter(({ scope }) => wanted === undefined || scope === wanted).map(({ step }) => step)
      steps = steps.filter(({ step }) => !due.includes(step))
      const onFailure = (error: unknown) => log.debug('cleaning up failed', { error: messageOf(error) })
      const slow = () => new Error('cleaning up took too long')
      await withLimit(clock, ABORT_CLEANUP_MS, undefined, slow, () => settleAll(due, onFailure)).catch(onFailure)
    },
  }
}
