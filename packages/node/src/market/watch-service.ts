import { type Bus, type BusCall, BusError } from '@emet/bus'
import type { Clock, Logger, NodeId } from '@emet/core'
import { messageOf } from '@emet/core'
import { z } from 'zod'
import { compileContent } from './content.ts'
import type { Tasks } from './context.ts'
import {
  type IndexService,
  indexAddress,
  MATCHED_ADDRESS,
  OFFERS_PER_MESSAGE_MAX,
  offerToWire,
  unwatchSchema,
  type WatchRequest,
  watchSchema,
} from './index-protocol.ts'
import type { OfferBook, Query } from './offer-book.ts'
import { senderOf } from './protocol.ts'
import type { SignedOffer } from './types.ts'

/** Offers that wait to be told to one standing demand; further ones come with the next renewal. */
export const UNTOLD_OFFERS_MAX = 200
/** How long a requestor may take to answer the news of new offers. */
export const TELL_TIMEOUT_MS = 10_000
/** News in a row that a requestor did not take, before its standing demand is dropped. */
const FAILURES_MAX = 3

export type WatchServiceDeps = {
  readonly bus: Bus
  readonly clock: Clock
  readonly logger: Logger
  readonly ownId: () => NodeId
  readonly tasks: Tasks
}

export type WatchServiceOptions = {
  readonly service: IndexService
  readonly book: OfferBook
  readonly watchesMax: number
  readonly watchesPerCallerMax: number
  readonly watchTtlMs: number
  readonly resultsMax: number
  readonly mayCall: (caller: NodeId) => boolean
}

/** Answers questions over a book, and tells of new matches until the question is withdrawn or not renewed. */
export interface WatchService {
  bind(): () => void
  /** Drops what was not renewed in time. */
  expire(): void
  stop(): void
  readonly size: number
}

type Watch = {
  readonly caller: NodeId
  readonly isLocal: boolean
  readonly watchId: string
  readonly query: Query
  untold: SignedOffer[]
  isTelling: boolean
  failures: number
  endsMs: number
  stop: () => void
}

export function createWatchService(deps: WatchServiceDeps, options: WatchServiceOptions): WatchService {
  const { bus, clock } = deps
  const watches = new Map<string, Watch>()
  const perCaller = new Map<NodeId, number>()

  const drop = (key: string) => {
    const watch = watches.get(key)
    if (!watch) return
    watches.delete(key)
    watch.stop()
    const left = (perCaller.get(watch.caller) ?? 1) - 1
    if (left > 0) perCaller.set(watch.caller, left)
    else perCaller.delete(watch.caller)
  }
  const keep = (key: string, call: BusCall, caller: NodeId, request: WatchRequest, query: Query): boolean => {
    drop(key)
    const count = perCaller.get(caller) ?? 0
    if (watches.size >= options.watchesMax || count >= options.watchesPerCallerMax) return false
    const watch: Watch = {
      caller,
      isLocal: call.caller.kind === 'local',
      watchId: request.watchId,
      query,
      untold: [],
      isTelling: false,
      failures: 0,
      endsMs: clock.monotonicMs() + options.watchTtlMs,
      stop: options.book.watch(query, (offers) => {
        watch.untold.push(...offers.slice(0, UNTOLD_OFFERS_MAX - watch.untold.length))
        tell(deps, watch, () => drop(key))
      }),
    }
    watches.set(key, watch)
    perCaller.set(caller, count + 1)
    return true
  }
  const onWatch = async (call: BusCall) => {
    const caller = admit(call)
    const request = parse(watchSchema, call)
    const query = queryOf(request, caller)
    const key = `${caller}/${request.watchId}`
    const nowUs = clock.nowMs() * 1000
    const limit = Math.min(request.limit, options.resultsMax)
    const salt = `${request.watchId}/${request.round}`
    const { offers, seen, dropped } = options.book.search(query, { limit, salt, nowUs })
    const isStanding = request.isStanding && keep(key, call, caller, request, query)
    return { offers: offers.map(offerToWire), seen, dropped, isStanding }
  }
  const admit = (call: BusCall): NodeId => {
    const caller = senderOf(call, deps.ownId())
    if (options.mayCall(caller)) return caller
    throw new BusError('overloaded', `node ${caller} asks too often; slow down`, { caller })
  }
  const onUnwatch = async (call: BusCall) => {
    const { watchId } = parse(unwatchSchema, call)
    drop(`${senderOf(call, deps.ownId())}/${watchId}`)
    return null
  }
  return {
    bind: () => {
      const undo = [
        bus.bind(`/public${indexAddress(options.service, 'Watch')}`, onWatch),
        bus.bind(`/public${indexAddress(options.service, 'Unwatch')}`, onUnwatch),
      ]
      return () => {
        for (const step of undo) step()
      }
    },
    expire: () => {
      for (const [key, watch] of [...watches]) if (watch.endsMs <= clock.monotonicMs()) drop(key)
    },
    stop: () => {
      for (const key of [...watches.keys()]) drop(key)
    },
    get size() {
      return watches.size
    },
  }
}

/** Parses the body of a call. Fails with `BusError` `bad-request`, which names the field. */
export function parse<S extends z.ZodType>(schema: S, call: BusCall): z.output<S> {
  const parsed = schema.safeParse(call.body.value())
  if (parsed.success) return parsed.data
  throw new BusError('bad-request', `${call.address}: ${z.prettifyError(parsed.error)}`, { address: call.address })
}

function queryOf(request: WatchRequest, caller: NodeId): Query {
  try {
    const content = compileContent(request)
    const shards = new Set(request.shards)
    return { nodeId: request.kind === 'demand' ? caller : undefined, kind: request.kind, content, shards }
  } catch (error) {
    throw new BusError('bad-request', `the demand cannot be read: ${messageOf(error)}`, {}, { cause: error })
  }
}

/** Tells the requestor, one message at a time, until there is no news. */
function tell({ bus, tasks, logger }: WatchServiceDeps, watch: Watch, drop: () => void): void {
  if (watch.isTelling) return
  watch.isTelling = true
  const address = watch.isLocal ? `/public${MATCHED_ADDRESS}` : `/net/${watch.caller}${MATCHED_ADDRESS}`
  tasks.run('tell of new offers', async () => {
    try {
      while (watch.untold.length > 0 && !tasks.signal.aborted) {
        const offers = watch.untold.splice(0, OFFERS_PER_MESSAGE_MAX).map(offerToWire)
        const call = { timeoutMs: TELL_TIMEOUT_MS, signal: tasks.signal }
        await bus.call(address, { watchId: watch.watchId, offers }, call).then(
          () => {
            watch.failures = 0
          },
          (error: unknown) => {
            logger.debug('a requestor did not take news of offers', { peer: watch.caller, error: messageOf(error) })
            if (++watch.failures >= FAILURES_MAX) drop()
          },
        )
      }
    } finally {
      watch.isTelling = false
    }
  })
}
