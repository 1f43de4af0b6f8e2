import { messageOf } from '@emet/core'
import { golemErrorOf } from './daemon-errors.ts'
import { GolemError, isGolemError } from './errors.ts'
import { MAP_MACHINES_MAX, RENTAL_DURATION_MS } from './limits.ts'
import { createClaims } from './negotiation.ts'
import { openGroup, type RentContext, type RentGroup, rentOne } from './rent.ts'
import type { MapOptions, MapResult, MapRun, Rental, RentSpec } from './types.ts'

type Work<T> = {
  readonly index: number
  readonly item: T
  readonly attempts: number
  readonly failedOn: ReadonlySet<string>
}

type Task<T, R> = (item: T, machine: Rental, signal: AbortSignal) => Promise<R>

/** See `Session.map`. Nothing begins before the first iteration. */
export function mapItems<T, R>(
  context: RentContext,
  items: Iterable<T> | AsyncIterable<T>,
  task: Task<T, R>,
  spec: RentSpec,
  options: MapOptions,
): MapRun<T, R> {
  const rentals: Rental[] = []
  if (!Number.isInteger(options.machines) || options.machines < 1 || options.machines > MAP_MACHINES_MAX) {
    throw new GolemError(
      'spec.invalid',
      `machines must be a whole number from 1 to ${MAP_MACHINES_MAX}, not ${options.machines}`,
      {
        phase: 'find',
        blame: 'user',
        retryable: false,
      },
    )
  }
  return { rentals, [Symbol.asyncIterator]: () => iterate(context, items, task, spec, options, rentals) }
}

async function* iterate<T, R>(
  context: RentContext,
  items: Iterable<T> | AsyncIterable<T>,
  task: Task<T, R>,
  spec: RentSpec,
  options: MapOptions,
  rentals: Rental[],
): AsyncGenerator<MapResult<T, R>, void, undefined> {
  const group = await openGroup(context, options, spec.durationMs ?? RENTAL_DURATION_MS, createClaims())
  const stopping = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal
  const queue = createQueue<T, R>(items, options)
  const banned = new Set<string>()
  const worker = { context, group, task, spec, options: { ...options, signal }, queue, rentals, banned }
  const workers = Promise.all(Array.from({ length: options.machines }, () => work(worker)))
  workers.then(queue.allIdle, queue.fail)
  const onAbort = () => queue.fail(golemErrorOf(signal.reason, 'run', { signal }))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    yield* queue.results()
  } finally {
    stopping.abort(
      new GolemError('rental.closed', 'the iteration has ended', { phase: 'finish', blame: 'user', retryable: false }),
    )
    queue.stop()
    await workers.catch(() => {})
    await Promise.all(rentals.map((rental) => rental.close()))
    await group.release()
  }
}

type Worker<T, R> = {
  readonly context: RentContext
  readonly group: RentGroup
  readonly task: Task<T, R>
  readonly spec: RentSpec
  readonly options: MapOptions & { readonly signal: AbortSignal }
  readonly queue: Queue<T, R>
  readonly rentals: Rental[]
  /** Providers whose machines were lost. */
  readonly banned: Set<string>
}

/** Rents a machine and does items on it; when it is lost, rents another. Ends when there are no items left for it. */
async function work<T, R>(worker: Worker<T, R>): Promise<void> {
  const { context, group, options, queue, rentals, banned } = worker
  while (queue.isWanted()) {
    let rental: Rental
    const avoid = [...(worker.spec.avoid ?? []), ...banned, ...queue.failedProviders()]
    const spec = { ...worker.spec, avoid }
    try {
      rental = await rentOne(context, group, spec, options, async () => {})
    } catch (error) {
      // Fewer machines than asked for are no failure, as long as there is one.
      if (queue.isOver() || rentals.some((other) => !other.ended.aborted)) return
      throw queue.lastFailure() ?? error
    }
    rentals.push(rental)
    await useMachine(worker, rental)
    if (isGolemError(rental.ended.reason, 'agreement.terminated', 'activity.lost')) banned.add(rental.providerId)
    if (queue.isOver()) await rental.close()
    else await rental.close('Another machine takes over')
  }
}

async function useMachine<T, R>(
  { context, task, options, queue, banned }: Worker<T, R>,
  rental: Rental,
): Promise<void> {
  while (!rental.ended.aborted) {
    const work = await queue.take(rental)
    if (!work) return
    const beganMs = context.clock.monotonicMs()
    try {
      const signal = AbortSignal.any([options.signal, rental.ended])
      const value = await task(work.item, rental, signal)
      const seconds = (context.clock.monotonicMs() - beganMs) / 1000
      const { index, item, attempts } = work
      await queue.done({ index, item, value, attempts: attempts + 1, providerId: rental.providerId, seconds })
    } catch (error) {
      if (options.signal.aborted) return
      const failure = rental.ended.aborted ? golemErrorOf(rental.ended.reason, 'run') : error
      queue.failed(work, rental.providerId, failure)
      // Nothing more is to be expected of a machine that is lost.
      if (isGolemError(failure, 'activity.lost', 'deploy.failed', 'start.failed')) {
        banned.add(rental.providerId)
        return
      }
    }
  }
}

interface Queue<T, R> {
  /** Whether there is, or may be, something to do for one more machine. */
  isWanted(): boolean
  isOver(): boolean
  /** Providers that can do none of what is left, since all of it has failed on them. */
  failedProviders(): string[]
  /** Why the items that are left have failed so far. */
  lastFailure(): GolemError | undefined
  take(rental: Rental): Promise<Work<T> | undefined>
  done(result: MapResult<T, R>): Promise<void>
  failed(work: Work<T>, providerId: string, error: unknown): void
  results(): AsyncGenerator<MapResult<T, R>, void, undefined>
  allIdle(): void
  fail(error: unknown): void
  stop(): void
}

/** Items on their way to machines and results on their way to the reader. Machines wait when the reader does not read. */
function createQueue<T, R>(items: Iterable<T> | AsyncIterable<T>, options: MapOptions): Queue<T, R> {
  const { machines, itemRetries = 2, order = 'done' } = options
  const source = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  const retries: Work<T>[] = []
  const finished: MapResult<T, R>[] = []
  let nextIndex = 0
  let nextOut = 0
  let inFlight = 0
  let isDry = false
  let isStopped = false
  let failure: { readonly error: unknown } | undefined
  let lastFailure: GolemError | undefined
  let pulling: Promise<unknown> = Promise.resolve()
  let changed = Promise.withResolvers<void>()
  const change = () => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const isOver = () => isStopped || failure !== undefined || (isDry && retries.length === 0 && inFlight === 0)
  const fail = (error: unknown) => {
    failure ??= { error }
    change()
  }
  /** The next item of the source, one caller at a time. */
  const pull = (): Promise<Work<T> | undefined> => {
    const pulled = pulling.then(async () => {
      if (isDry || isStopped) return undefined
      const step = await source.next()
      if (step.done) {
        isDry = true
        change()
        return undefined
      }
      inFlight++
      return { index: nextIndex++, item: step.value, attempts: 0, failedOn: new Set<string>() }
    })
    pulling = pulled.catch(fail)
    return pulled
  }
  const takeRetry = (providerId: string | undefined): Work<T> | undefined => {
    const at = retries.findIndex((work) => providerId === undefined || !work.failedOn.has(providerId))
    if (at < 0) return undefined
    inFlight++
    return retries.splice(at, 1)[0]
  }
  const take = async ({ providerId, ended }: Rental): Promise<Work<T> | undefined> => {
    for (;;) {
      if (isOver() || ended.aborted) return undefined
      const isFull = finished.length >= machines * 2
      const work = isFull ? undefined : (takeRetry(providerId) ?? (isDry ? undefined : await pull()))
      if (work) return work
      // All that is left has failed on this very provider: another machine must have it.
      if (!isFull && isDry && inFlight === 0 && retries.length > 0) return undefined
      if (isOver()) return undefined
      await Promise.race([changed.promise, onceAborted(ended)])
    }
  }
  const isReady = (result: MapResult<T, R>) => order === 'done' || result.index === nextOut
  const results = async function* () {
    for (;;) {
      const at = finished.findIndex(isReady)
      const result = at < 0 ? undefined : finished.splice(at, 1)[0]
      if (result) {
        nextOut++
        change()
        yield result
      } else if (failure) throw failure.error
      else if (isDry && retries.length === 0 && inFlight === 0) return
      else await changed.promise
    }
  }
  return {
    isOver,
    isWanted: () => !isOver(),
    failedProviders: () => {
      const [first, ...others] = isDry ? retries : []
      return [...(first?.failedOn ?? [])].filter((id) => others.every((work) => work.failedOn.has(id)))
    },
    lastFailure: () => (retries.length > 0 ? lastFailure : undefined),
    take,
    results,
    fail,
    done: async (result) => {
      inFlight--
      finished.push(result)
      change()
    },
    failed: (work, providerId, error) => {
      inFlight--
      const attempts = work.attempts + 1
      lastFailure = itemError(work.index, attempts, error)
      if (attempts > itemRetries) return fail(lastFailure)
      retries.push({ ...work, attempts, failedOn: new Set([...work.failedOn, providerId]) })
      change()
    },
    allIdle: () => {
      if (!isOver())
        fail(
          new GolemError('market.no-offers', 'no machine is left to do the remaining items', {
            phase: 'run',
            blame: 'network',
            retryable: true,
          }),
        )
      change()
    },
    stop: () => {
      isStopped = true
      change()
    },
  }
}

function onceAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function itemError(index: number, attempts: number, cause: unknown): GolemError {
  const known = isGolemError(cause) ? cause : undefined
  return new GolemError(
    known?.code ?? 'command.failed',
    `item ${index} failed ${attempts} times, last: ${messageOf(cause)}`,
    {
      phase: known?.phase ?? 'run',
      blame: known?.blame ?? 'user',
      retryable: false,
      cause,
      facts: { index, attempts },
      ...(known?.providerId === undefined ? {} : { providerId: known.providerId }),
    },
  )
}
