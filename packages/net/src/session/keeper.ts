/** Keeps connections to the bootstrap peers: connects, and connects again with growing, jittered pauses. */
import { type Clock, type Logger, messageOf, type Random, randomFraction } from '@emet/core'
import type { Peer } from '../types.ts'

/** The pause after the first failure; it doubles with each one. */
export const RECONNECT_PAUSE_MIN_MS = 500

/** The longest pause between two attempts to reach a peer again. */
export const RECONNECT_PAUSE_MAX_MS = 60_000

export type KeptState = 'connecting' | 'connected' | 'backing-off'

type KeeperDeps = {
  clock: Clock
  random: Random
  logger: Logger
  connect(endpoint: string, signal: AbortSignal): Promise<Peer>
  /** Resolves when the session with the peer has ended. */
  untilGone(peer: Peer, signal: AbortSignal): Promise<void>
  onChange(): void
}

export interface Keeper {
  /** Resolves when each endpoint has been tried once. */
  readonly tried: Promise<void>
  states(): ReadonlyMap<string, KeptState>
  stop(): Promise<void>
}

export function startKeeper(endpoints: readonly string[], deps: KeeperDeps): Keeper {
  const stop = new AbortController()
  const states = new Map<string, KeptState>()
  const firstTries: Promise<void>[] = []

  const setState = (endpoint: string, state: KeptState) => {
    states.set(endpoint, state)
    deps.onChange()
  }
  const keep = async (endpoint: string, triedOnce: () => void) => {
    for (let failures = 0; !stop.signal.aborted; failures++) {
      states.set(endpoint, 'connecting')
      try {
        const peer = await deps.connect(endpoint, stop.signal)
        setState(endpoint, 'connected')
        triedOnce()
        failures = 0
        await deps.untilGone(peer, stop.signal)
        deps.logger.warn('lost a bootstrap peer', { endpoint, peer: peer.nodeId })
      } catch (error) {
        if (stop.signal.aborted) return
        deps.logger.warn('cannot reach a bootstrap peer', { endpoint, error: messageOf(error), failures })
      } finally {
        triedOnce()
      }
      setState(endpoint, 'backing-off')
      await deps.clock.sleep(pauseMs(failures, deps.random), stop.signal)
    }
  }
  const loops = endpoints.map((endpoint) => {
    const tried = Promise.withResolvers<void>()
    firstTries.push(tried.promise)
    return keep(endpoint, tried.resolve).catch(() => {})
  })
  return {
    tried: Promise.all(firstTries).then(() => {}),
    states: () => states,
    stop: async () => {
      stop.abort(new Error('the network is stopped'))
      await Promise.all(loops)
    },
  }
}

/** Half to the whole of the doubled pause, so that many nodes do not come back at the same instant. */
export function pauseMs(failures: number, random: Random): number {
  const full = Math.min(RECONNECT_PAUSE_MAX_MS, RECONNECT_PAUSE_MIN_MS * 2 ** Math.min(failures, 16))
  return full * (0.5 + 0.5 * randomFraction(random))
}
