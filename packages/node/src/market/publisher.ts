import type { Bus } from '@emet/bus'
import { type Clock, type InstantUs, type Logger, messageOf, type NodeId } from '@emet/core'
import type { Signer } from '../identity/index.ts'
import type { Tasks } from './context.ts'
import {
  heartbeatReplySchema,
  indexAddress,
  OFFERS_PER_MESSAGE_MAX,
  offerToWire,
  putReplySchema,
  WITHDRAWN_IDS_MAX,
} from './index-protocol.ts'
import { heartbeatDigest, offersDigest, withdrawalDigest } from './offer-index.ts'
import { replicasOf, shardOf } from './rendezvous.ts'
import { toHex } from './signed-offer.ts'
import type { SignedOffer } from './types.ts'

/** How long an index peer may take to answer. */
export const INDEX_TIMEOUT_MS = 15_000
/** Content of the offers in one message, so that messages stay small. */
export const PUT_BYTES_MAX = 256 * 1024
/** Waits before an index peer that failed is tried again. */
const RETRY_DELAYS_MS: readonly number[] = [500, 2_000, 10_000, 60_000]

export type PublisherDeps = {
  readonly bus: Bus
  readonly signer: Signer
  readonly clock: Clock
  readonly logger: Logger
  readonly tasks: Tasks
  /** The index peers that can be reached now, ourselves included if we are one. */
  readonly indexPeers: () => NodeId[]
  readonly addressOf: (peer: NodeId) => string
  /** Our offers that are alive. */
  readonly activeOffers: () => SignedOffer[]
  /** Later than any instant before: what is signed must not look like a repetition. */
  readonly nextUs: () => InstantUs
}

/**
 * Keeps our offers at a few index peers: pushes what they lack, withdraws what has ended, and shows by a small signed
 * heartbeat that we live. An index peer that has forgotten us gets everything again.
 */
export interface Publisher {
  /** Brings the index peers up to date. After any change of our offers or of the peers. */
  sync(): void
  start(): void
  stop(): void
}

type Copy = {
  provider: NodeId
  target: NodeId
  held: Set<string>
  isRunning: boolean
  isStale: boolean
  failures: number
}

export function createPublisher(deps: PublisherDeps, options: { replicas: number; heartbeatMs: number }): Publisher {
  const { clock, tasks, logger } = deps
  const copies = new Map<string, Copy>()
  const timers = new Set<() => void>()

  const later = (ms: number, task: () => void) => {
    const cancel = clock.setTimer(ms, () => {
      timers.delete(cancel)
      task()
    })
    timers.add(cancel)
  }
  const bring = (copy: Copy) => {
    copy.isStale = true
    if (copy.isRunning) return
    copy.isRunning = true
    tasks.run('publish offers', async () => {
      try {
        while (copy.isStale && !tasks.signal.aborted) {
          copy.isStale = false
          await update(deps, copy)
        }
        copy.failures = 0
      } catch (error) {
        const delayMs = RETRY_DELAYS_MS[Math.min(copy.failures++, RETRY_DELAYS_MS.length - 1)] ?? 0
        logger.debug('an index peer did not take our offers', { peer: copy.target, delayMs, error: messageOf(error) })
        if (!tasks.signal.aborted) later(delayMs, () => copies.get(keyOf(copy)) === copy && bring(copy))
      } finally {
        copy.isRunning = false
      }
    })
  }
  const sync = () => {
    const wanted = new Set<string>()
    const peers = deps.indexPeers()
    const providers = new Set(deps.activeOffers().map((offer) => offer.nodeId))
    for (const copy of copies.values()) if (copy.held.size > 0) providers.add(copy.provider)
    for (const provider of providers) {
      for (const target of replicasOf(shardOf(provider), peers, options.replicas)) {
        const key = keyOf({ provider, target })
        wanted.add(key)
        const copy = copies.get(key) ?? {
          provider,
          target,
          held: new Set(),
          isRunning: false,
          isStale: false,
          failures: 0,
        }
        copies.set(key, copy)
        bring(copy)
      }
    }
    for (const key of [...copies.keys()]) if (!wanted.has(key)) copies.delete(key)
  }
  const beat = () => {
    for (const copy of copies.values()) {
      if (copy.held.size === 0) continue
      tasks.run('send a heartbeat', async () => {
        try {
          if (await sendHeartbeat(deps, copy)) return
          copy.held.clear()
        } catch (error) {
          logger.debug('an index peer did not take our heartbeat', { peer: copy.target, error: messageOf(error) })
        }
        bring(copy)
      })
    }
    later(options.heartbeatMs, beat)
  }
  return {
    sync,
    start: () => {
      later(options.heartbeatMs, beat)
      sync()
    },
    stop: () => {
      for (const cancel of timers) cancel()
      timers.clear()
    },
  }
}

const keyOf = ({ provider, target }: Pick<Copy, 'provider' | 'target'>) => `${target}/${provider}`

/** Makes one index peer's copy of one provider's offers what it should be. */
async function update(deps: PublisherDeps, copy: Copy): Promise<void> {
  const wanted = deps.activeOffers().filter((offer) => offer.nodeId === copy.provider)
  const ids = new Set(wanted.map((offer) => offer.id))
  const ended = [...copy.held].filter((id) => !ids.has(id)).slice(0, WITHDRAWN_IDS_MAX)
  if (ended.length > 0) {
    const message = { nodeId: copy.provider, atUs: deps.nextUs(), offerIds: ended }
    const signature = toHex(await deps.signer.sign(copy.provider, withdrawalDigest(message)))
    await call(deps, copy, 'Withdraw', { ...message, signature })
    for (const id of ended) copy.held.delete(id)
  }
  for (const offers of portionsOf(wanted.filter((offer) => !copy.held.has(offer.id)))) {
    const reply = putReplySchema.parse(await call(deps, copy, 'Put', { offers: offers.map(offerToWire) }))
    for (const { id, status, why } of reply.results) {
      if (status === 'refused') deps.logger.warn('an index peer refused an offer', { peer: copy.target, id, why })
      // A refused one counts as handed over: it would be refused again. The next heartbeat shows the difference.
      if (ids.has(id)) copy.held.add(id)
    }
  }
}

/** True when the index peer holds just what we think it does. */
async function sendHeartbeat(deps: PublisherDeps, copy: Copy): Promise<boolean> {
  const message = { nodeId: copy.provider, atUs: deps.nextUs(), offersDigest: offersDigest([...copy.held]) }
  const signature = toHex(await deps.signer.sign(copy.provider, heartbeatDigest(message)))
  const reply = heartbeatReplySchema.parse(await call(deps, copy, 'Heartbeat', { ...message, signature }))
  return reply.isKnown
}

function call({ bus, tasks, addressOf }: PublisherDeps, copy: Copy, name: string, body: unknown): Promise<unknown> {
  return bus.call(`${addressOf(copy.target)}${indexAddress('index', name)}`, body, {
    caller: { kind: 'local', nodeId: copy.provider },
    timeoutMs: INDEX_TIMEOUT_MS,
    signal: tasks.signal,
  })
}

function portionsOf(offers: readonly SignedOffer[]): SignedOffer[][] {
  const portions: SignedOffer[][] = []
  let bytes = 0
  for (const offer of offers) {
    const size = offer.properties.length + offer.constraints.length
    const last = portions.at(-1)
    if (!last || last.length >= OFFERS_PER_MESSAGE_MAX || bytes + size > PUT_BYTES_MAX) {
      portions.push([offer])
      bytes = size
    } else {
      last.push(offer)
      bytes += size
    }
  }
  return portions
}
