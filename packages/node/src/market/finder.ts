import { type Bus, BusError, ReplyError } from '@emet/bus'
import { type Clock, type Logger, messageOf, type NodeId } from '@emet/core'
import type { Signer } from '../identity/index.ts'
import type { Tasks } from './context.ts'
import {
  type IndexService,
  indexAddress,
  MATCHED_ADDRESS,
  matchedSchema,
  type WatchReply,
  watchReplySchema,
} from './index-protocol.ts'
import { senderOf } from './protocol.ts'
import { INDEX_TIMEOUT_MS } from './publisher.ts'
import { planOf, SHARDS } from './rendezvous.ts'
import { verifyOffer } from './signed-offer.ts'
import type { Content, SignedOffer } from './types.ts'
import { parse } from './watch-service.ts'

/** How often standing demands are renewed at the index peers. Must be well below their time to live. */
export const RENEW_INTERVAL_MS = 240_000
/** Waits before an index peer that failed is asked again. */
const RETRY_DELAYS_MS: readonly number[] = [500, 2_000, 10_000, 60_000]
const ALL_SHARDS: readonly number[] = Array.from({ length: SHARDS }, (_, shard) => shard)

/** Something that wants to know of offers: a demand, or a scan. */
export type Interest = Content & {
  readonly id: string
  readonly kind: 'demand' | 'scan'
  readonly nodeId: NodeId
  /** What an index peer saw and dropped on our behalf. */
  readonly onAnswer?: (seen: number, dropped: Readonly<Record<string, number>>) => void
}

export type FinderDeps = {
  readonly bus: Bus
  readonly signer: Signer
  readonly clock: Clock
  readonly logger: Logger
  readonly tasks: Tasks
  readonly indexPeers: () => NodeId[]
  /** Connected peers of any kind, for when there is no index peer. */
  readonly directPeers: () => NodeId[]
  readonly addressOf: (peer: NodeId) => string
  /** Takes offers whose signature and content are right. */
  readonly onOffers: (offers: readonly SignedOffer[]) => void
}

export type FinderOptions = {
  readonly replicas: number
  readonly replicasAsked: number
  readonly directPeersMax: number
  readonly pullLength: number
}

/** Asks index peers for offers on behalf of demands and scans, and stays subscribed there. */
export interface Finder {
  add(interest: Interest): void
  remove(id: string): void
  /** Adapts to a changed set of peers. */
  sync(): void
  /** Asks one node for its own offers, once. Throws `BusError`. */
  askOnce(peer: NodeId, interest: Interest, signal: AbortSignal | undefined): Promise<SignedOffer[]>
  start(): void
  stop(): void
}

type Target = { readonly service: IndexService; readonly shards: readonly number[] }
type Asked = Target & { round: number; failures: number; isRefused: boolean }
type Standing = { readonly interest: Interest; readonly asked: Map<NodeId, Asked> }

export function createFinder(deps: FinderDeps, options: FinderOptions): Finder {
  const { bus, clock, logger, tasks } = deps
  const standing = new Map<string, Standing>()
  const timers = new Set<() => void>()
  let unbind = () => {}

  const later = (ms: number, task: () => void) => {
    const cancel = clock.setTimer(ms, () => {
      timers.delete(cancel)
      task()
    })
    timers.add(cancel)
  }
  const targets = (): Map<NodeId, Target> => {
    const plan = planOf(deps.indexPeers(), options)
    if (plan.size > 0) {
      return new Map([...plan].map(([peer, shards]) => [peer, { service: 'index' as const, shards }]))
    }
    const direct = deps.directPeers().slice(0, options.directPeersMax)
    return new Map(direct.map((peer) => [peer, { service: 'direct' as const, shards: ALL_SHARDS }]))
  }
  const ask = (item: Standing, peer: NodeId, asked: Asked) => {
    tasks.run('ask for offers', async () => {
      try {
        const { seen, dropped, offers } = await sendWatch(deps, options, item.interest, peer, asked, tasks.signal)
        asked.failures = 0
        if (standing.get(item.interest.id) !== item) return
        item.interest.onAnswer?.(seen, dropped)
        receive(deps, peer, offers)
      } catch (error) {
        asked.isRefused = error instanceof BusError && error.code === 'no-endpoint'
        const delayMs = RETRY_DELAYS_MS[Math.min(asked.failures++, RETRY_DELAYS_MS.length - 1)] ?? 0
        logger.debug('a peer did not answer a demand', { peer, delayMs, error: messageOf(error) })
        if (asked.isRefused || tasks.signal.aborted) return
        later(delayMs, () => item.asked.get(peer) === asked && standing.has(item.interest.id) && ask(item, peer, asked))
      }
    })
  }
  const spread = (item: Standing, wanted = targets()) => {
    for (const [peer, target] of wanted) {
      const before = item.asked.get(peer)
      if (before && before.service === target.service && String(before.shards) === String(target.shards)) continue
      const asked = { ...target, round: 0, failures: 0, isRefused: false }
      item.asked.set(peer, asked)
      ask(item, peer, asked)
    }
    for (const [peer, asked] of [...item.asked]) {
      if (wanted.has(peer)) continue
      item.asked.delete(peer)
      sendUnwatch(deps, item.interest, peer, asked)
    }
  }
  const renew = () => {
    for (const item of standing.values()) {
      for (const [peer, asked] of item.asked) {
        asked.round++
        if (!asked.isRefused) ask(item, peer, asked)
      }
    }
    later(RENEW_INTERVAL_MS, renew)
  }
  return {
    add: (interest) => {
      const item = { interest, asked: new Map() }
      standing.set(interest.id, item)
      spread(item)
    },
    remove: (id) => {
      const item = standing.get(id)
      standing.delete(id)
      for (const [peer, asked] of item?.asked ?? []) sendUnwatch(deps, item?.interest, peer, asked)
    },
    sync: () => {
      const wanted = targets()
      for (const item of standing.values()) spread(item, wanted)
    },
    askOnce: async (peer, interest, signal) => {
      const target = { service: 'direct' as const, shards: ALL_SHARDS, round: 0, failures: 0, isRefused: false }
      const reply = await sendWatch(deps, options, interest, peer, target, signal, false)
      return verified(deps, peer, reply.offers)
    },
    start: () => {
      unbind = bus.bind(`/public${MATCHED_ADDRESS}`, async (call) => {
        const { watchId, offers } = parse(matchedSchema, call)
        const sender = senderOf(call, deps.signer.defaultId)
        // Only those whom we asked may answer.
        if (!standing.get(watchId)?.asked.has(sender)) throw new ReplyError('unknown demand')
        receive(deps, sender, offers)
        return null
      })
      later(RENEW_INTERVAL_MS, renew)
    },
    stop: () => {
      unbind()
      for (const cancel of timers) cancel()
      timers.clear()
    },
  }
}

async function sendWatch(
  deps: FinderDeps,
  options: FinderOptions,
  interest: Interest,
  peer: NodeId,
  asked: Asked,
  signal: AbortSignal | undefined,
  isStanding = true,
): Promise<WatchReply> {
  const body = {
    watchId: interest.id,
    kind: interest.kind,
    properties: interest.properties,
    constraints: interest.constraints,
    shards: asked.shards,
    limit: options.pullLength,
    round: asked.round,
    isStanding,
  }
  const reply = await deps.bus.call(`${deps.addressOf(peer)}${indexAddress(asked.service, 'Watch')}`, body, {
    caller: { kind: 'local', nodeId: interest.nodeId },
    timeoutMs: INDEX_TIMEOUT_MS,
    ...(signal && { signal }),
  })
  return watchReplySchema.parse(reply)
}

function sendUnwatch(deps: FinderDeps, interest: Interest | undefined, peer: NodeId, asked: Asked): void {
  if (!interest || asked.isRefused || deps.tasks.signal.aborted) return
  const address = `${deps.addressOf(peer)}${indexAddress(asked.service, 'Unwatch')}`
  deps.bus.post(address, { watchId: interest.id }, { caller: { kind: 'local', nodeId: interest.nodeId } })
}

function receive(deps: FinderDeps, peer: NodeId, offers: readonly SignedOffer[]): void {
  const good = verified(deps, peer, offers)
  if (good.length > 0) deps.onOffers(good)
}

/** An index peer is not believed: each offer proves itself. */
function verified(deps: FinderDeps, peer: NodeId, offers: readonly SignedOffer[]): SignedOffer[] {
  return offers.filter((offer) => {
    try {
      verifyOffer(deps.signer, offer, deps.clock.nowMs())
      return true
    } catch (error) {
      deps.logger.warn('a peer sent a bad offer', { peer, error: messageOf(error) })
      return false
    }
  })
}
