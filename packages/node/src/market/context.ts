import type { Bus } from '@emet/bus'
import type { Clock, InstantUs, Logger, NodeId, Random } from '@emet/core'
import { messageOf } from '@emet/core'
import type { Signer } from '../identity/index.ts'
import type { Funnels } from './funnel.ts'
import type { MarketOptions } from './options.ts'
import type { Send } from './protocol.ts'
import type { MarketStore } from './store.ts'
import type { Wakeups } from './wakeups.ts'

/** What the parts of the market share. */
export type MarketContext = {
  readonly bus: Bus
  readonly signer: Signer
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly options: MarketOptions
  readonly store: MarketStore
  readonly wakeups: Wakeups
  readonly funnels: Funnels
  readonly send: Send
  readonly instants: Instants
  readonly tasks: Tasks
}

/** The market's view of time. */
export interface Instants {
  now(): InstantUs
  /**
   * Now, but later than every instant given before: ids and cursors are made of these. Below the clock's millisecond it
   * is random, because ids leave out the seconds (Golem wire 4.1) and would collide within a minute otherwise.
   */
  next(): InstantUs
}

export function createInstants(clock: Clock, random: Random, lastUs: InstantUs): Instants {
  let last = lastUs
  const now = () => Math.floor(clock.nowMs()) * 1000
  return {
    now,
    next: () => {
      const [high = 0, low = 0] = random.bytes(2)
      last = Math.max(now() + (((high << 8) | low) % 1000), last + 1)
      return last
    },
  }
}

/** Work that nobody waits for, except `stop`. */
export interface Tasks {
  /** Aborts when the market stops. */
  readonly signal: AbortSignal
  /** Runs `work` in the background; a failure is logged, unless the market is stopping. */
  run(what: string, work: () => Promise<void>): void
  stop(): Promise<void>
}

export function createTasks(logger: Logger): Tasks {
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  return {
    signal: stopping.signal,
    run: (what, work) => {
      if (stopping.signal.aborted) return
      const task = work()
        .catch((error: unknown) => {
          if (!stopping.signal.aborted) logger.warn('background work failed', { what, error: messageOf(error) })
        })
        .finally(() => running.delete(task))
      running.add(task)
    },
    stop: async () => {
      stopping.abort(new Error('the market is stopping'))
      await Promise.all(running)
    },
  }
}

/** The identity that a call from this very process acts for, when it names none. */
export const defaultIdOf = (signer: Signer) => (): NodeId => signer.defaultId
