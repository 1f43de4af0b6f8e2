import type { NodeId } from '@emet/core'
import { sha3_256 } from '@noble/hashes/sha3.js'

/** Providers are spread over this many shards, so that a demand needs to ask a bounded set of index peers. */
export const SHARDS = 16

/** The shard of a provider: uniform over providers, the same for everybody. */
export function shardOf(provider: NodeId): number {
  return (sha3_256(new TextEncoder().encode(`emet/shard/1/${provider}`))[0] ?? 0) % SHARDS
}

/**
 * The index peers that hold a shard, best first: those with the highest hash of (shard, peer). When the set of peers
 * changes by one, only the shards of that one move.
 */
export function replicasOf(shard: number, indexPeers: readonly NodeId[], count: number): NodeId[] {
  return indexPeers
    .map((peer) => ({ peer, score: scoreOf(shard, peer) }))
    .sort((a, b) => (a.score < b.score ? 1 : -1))
    .slice(0, count)
    .map(({ peer }) => peer)
}

/**
 * Which shards to ask of which index peer, so that each shard is asked at `asked` of its `replicas`. Peers that are
 * asked already serve further shards first, so that few messages are needed.
 */
export function planOf(
  indexPeers: readonly NodeId[],
  options: { replicas: number; replicasAsked: number },
): Map<NodeId, number[]> {
  const plan = new Map<NodeId, number[]>()
  for (let shard = 0; shard < SHARDS; shard++) {
    const replicas = replicasOf(shard, indexPeers, options.replicas)
    replicas.sort((a, b) => Number(plan.has(b)) - Number(plan.has(a)))
    for (const peer of replicas.slice(0, options.replicasAsked)) {
      const shards = plan.get(peer) ?? []
      plan.set(peer, [...shards, shard])
    }
  }
  return plan
}

function scoreOf(shard: number, peer: NodeId): string {
  const digest = sha3_256(new TextEncoder().encode(`emet/replica/1/${shard}/${peer}`))
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
