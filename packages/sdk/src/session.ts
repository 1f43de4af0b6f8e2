import { randomUuid } from '@emet/core'
import type { SdkDeps } from './daemon.ts'
import { abortedError } from './daemon-errors.ts'
import { createDesk } from './desk.ts'
import { RENTAL_DURATION_MS } from './limits.ts'
import { mapItems } from './map.ts'
import { createClaims } from './negotiation.ts'
import { createPublications } from './payload.ts'
import { quoteOffers } from './quote.ts'
import { openGroup, type RentContext, rentOne } from './rent.ts'
import type { MapOptions, MapRun, Rental, RentOptions, RentSpec, Session } from './types.ts'

export type SessionOptions = {
  readonly nodeId: string
  readonly subnet: string
  /** The payment network, such as `hoodi`. Default: the daemon's. */
  readonly network?: string | undefined
  /** Ends the session and all its rentals. */
  readonly signal?: AbortSignal | undefined
}

/** A session over a client of the daemon. `connect` makes one with the real client. */
export function createSession(deps: SdkDeps, options: SessionOptions): Session {
  const desk = createDesk(deps)
  const open = new Set<Rental>()
  const ending = new AbortController()
  let lastNumber = 0
  const context: RentContext = {
    ...deps,
    desk,
    publications: createPublications(deps.client),
    subnet: options.subnet,
    network: options.network,
    appSessionId: randomUuid(deps.random),
    nextNumber: () => ++lastNumber,
  }
  const scoped = <O extends { readonly signal?: AbortSignal | undefined }>(given: O): O & { signal: AbortSignal } => ({
    ...given,
    signal: given.signal ? AbortSignal.any([given.signal, ending.signal]) : ending.signal,
  })
  const onAbort = () => ending.abort(abortedError('run', options.signal?.reason))
  options.signal?.addEventListener('abort', onAbort, { once: true })
  if (options.signal?.aborted) onAbort()

  const rent = async (spec: RentSpec, given: RentOptions): Promise<Rental> => {
    const wanted = scoped(given)
    wanted.signal.throwIfAborted()
    const group = await openGroup(context, wanted, spec.durationMs ?? RENTAL_DURATION_MS, createClaims())
    try {
      const rental = await rentOne(context, group, spec, wanted, async () => {
        open.delete(rental)
        await group.release()
      })
      open.add(rental)
      return rental
    } catch (error) {
      await group.release()
      throw error
    }
  }
  let closing: Promise<void> | undefined
  const closeAll = async () => {
    options.signal?.removeEventListener('abort', onAbort)
    await Promise.all([...open].map((rental) => rental.close()))
    ending.abort(abortedError('finish', new Error('the session is closed')))
    await desk.stop()
    deps.hub.close()
  }
  const close = () => {
    closing ??= closeAll()
    return closing
  }
  return {
    nodeId: options.nodeId,
    quote: (spec, given = {}) => quoteOffers(context, spec, scoped(given)),
    rent,
    map: <T, R>(
      items: Iterable<T> | AsyncIterable<T>,
      task: (item: T, machine: Rental, signal: AbortSignal) => Promise<R>,
      spec: RentSpec,
      given: MapOptions,
    ): MapRun<T, R> => mapItems(context, items, task, spec, scoped(given)),
    on: deps.hub.listen,
    events: ({ signal } = {}) => deps.hub.stream(signal),
    close,
    [Symbol.asyncDispose]: close,
  }
}
