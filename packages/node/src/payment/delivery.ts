/**
 * Bringing peers up to date. What a peer must hear of (accepts, rejects, payments) lies in the outbox from the moment
 * it is decided until the peer has confirmed it. It is sent once right away; if that fails, everything for that peer is
 * sent together (PaymentSync) after 30 s, then six times as long each, until given up. News for the peer, the peer's own
 * request (PaymentSyncNeeded) or a restart begin anew. Receiving something twice changes nothing on either side.
 */
import { BusError } from '@emet/bus'
import { type AbortOptions, messageOf, type NodeId } from '@emet/core'
import { anyOf, createAlarm } from './background.ts'
import type { Context } from './context.ts'
import { SYNC_ENTRIES_MAX, SYNCS_CONCURRENT_MAX } from './options.ts'
import { type PeerClient, refusalOf } from './peer-client.ts'
import type { OutboxEntry } from './records.ts'

export interface Delivery {
  /** Writes down what `peerId` must hear of; inside the caller's transaction. */
  enqueue(entry: Omit<OutboxEntry, 'id'>): OutboxEntry
  /** Sends an entry now; falls back to sync. Resolves either way, when the peer has answered or the time is up. */
  deliver(entry: OutboxEntry, options?: AbortOptions & { timeoutMs?: number | undefined }): Promise<void>
  /** Brings the peer up to date as soon as possible. */
  syncNow(owner: NodeId, peerId: NodeId): void
  /** Takes up after a start. */
  resume(): void
  stop(): void
}

export function createDelivery(context: Context, client: PeerClient): Delivery {
  const { store, deps, options, background } = context
  const { outbox } = store
  const logger = deps.logger.child({ part: 'delivery' })
  const busy = new Set<string>()
  const alarm = createAlarm(deps.clock, () => run())

  const rearm = () => alarm.set(busy.size < SYNCS_CONCURRENT_MAX ? nextFree()?.nextMs : undefined)
  const nextFree = () =>
    outbox.nextSyncs(SYNCS_CONCURRENT_MAX + 1).find(({ owner, peerId }) => !busy.has(keyOf(owner, peerId)))
  /** Plans the next attempt. `tries` counts those that failed. */
  const plan = (owner: NodeId, peerId: NodeId, tries: number, delayMs?: number) => {
    const isOver = tries >= options.syncTriesMax
    if (isOver) logger.warn('a peer cannot be brought up to date; waiting until it asks', { peerId, tries })
    const waitMs = delayMs ?? Math.round(options.syncInitialMs * options.syncFactor ** tries)
    outbox.saveSync({ owner, peerId, tries, nextMs: isOver ? undefined : Math.round(deps.clock.nowMs() + waitMs) })
    rearm()
  }

  const deliver: Delivery['deliver'] = async (entry, { timeoutMs, signal } = {}) => {
    const { owner, peerId } = entry
    try {
      await client.deliver(entry, {
        timeoutMs: timeoutMs ?? options.syncTimeoutMs,
        signal: anyOf(signal, background.signal),
      })
      outbox.remove(entry.id)
    } catch (error) {
      const refusal = refusalOf(error)
      if (refusal) {
        logger.error('a peer refused what it was told; not telling it again', {
          ...{ peerId, kind: entry.kind, ref: entry.ref, refusal },
        })
        outbox.remove(entry.id)
      } else if (!background.signal.aborted) {
        logger.info('a peer could not be told; it will be later', { peerId, kind: entry.kind, error: messageOf(error) })
        plan(owner, peerId, 0)
      }
    }
  }

  const sync = async (owner: NodeId, peerId: NodeId, tries: number, signal: AbortSignal) => {
    for (;;) {
      const entries = outbox.of(owner, peerId, SYNC_ENTRIES_MAX)
      if (entries.length === 0) return outbox.dropSync(owner, peerId)
      try {
        await client.sync(owner, peerId, entries, { timeoutMs: options.syncTimeoutMs, signal })
        for (const { id } of entries) outbox.remove(id)
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof BusError) return plan(owner, peerId, tries + 1)
        // The peer took some and refused others: only one by one can it say which.
        logger.info('a peer refused part of a sync', { peerId, error: messageOf(error) })
        for (const entry of entries) await deliver(entry, { signal })
        const left = outbox.of(owner, peerId, 1)
        if (left.length > 0) return plan(owner, peerId, tries + 1)
      }
    }
  }

  const run = () => {
    const nowMs = deps.clock.nowMs()
    for (let next = nextFree(); next?.nextMs !== undefined && next.nextMs <= nowMs; next = nextFree()) {
      if (busy.size >= SYNCS_CONCURRENT_MAX) break
      const { owner, peerId, tries } = next
      const key = keyOf(owner, peerId)
      busy.add(key)
      // While it runs the plan shows no time; a crash meanwhile is healed by `resume`.
      outbox.saveSync({ owner, peerId, tries, nextMs: undefined })
      background.spawn('sync', async (signal) => {
        try {
          await sync(owner, peerId, tries, signal)
        } finally {
          busy.delete(key)
          if (!signal.aborted) run()
        }
      })
    }
    rearm()
  }

  return {
    enqueue: (entry) => outbox.add(entry),
    deliver,
    syncNow: (owner, peerId) => plan(owner, peerId, 0, 0),
    resume: () => {
      for (const { owner, peerId } of outbox.peers()) plan(owner, peerId, 0, 0)
    },
    stop: () => alarm.set(undefined),
  }
}

const keyOf = (owner: NodeId, peerId: NodeId) => `${owner} ${peerId}`
