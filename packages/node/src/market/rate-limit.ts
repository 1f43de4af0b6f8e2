import type { Clock, NodeId } from '@emet/core'

/** Callers whose rate is remembered at one time. */
export const RATED_CALLERS_MAX = 20_000
const WINDOW_MS = 60_000

/** Counts the calls of each node. Returns false when a node has used up its minute. */
export function createRateLimit(clock: Clock, callsPerMinuteMax: number): (caller: NodeId) => boolean {
  let startedMs = clock.monotonicMs()
  const counts = new Map<NodeId, number>()
  return (caller) => {
    if (clock.monotonicMs() - startedMs >= WINDOW_MS) {
      counts.clear()
      startedMs = clock.monotonicMs()
    }
    const count = (counts.get(caller) ?? 0) + 1
    if (count > callsPerMinuteMax) return false
    if (count === 1 && counts.size >= RATED_CALLERS_MAX) return false
    counts.set(caller, count)
    return true
  }
}
