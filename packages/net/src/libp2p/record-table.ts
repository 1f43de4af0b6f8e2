import type { NodeId } from '@emet/core'
import type { Libp2p } from '@libp2p/interface'

/** A record that has not changed is put again after this time. The table itself keeps records for two days. */
export const TABLE_REFRESH_MS = 6 * 60 * 60_000

/** The relays' Kademlia table, see `table.ts`. */
export interface RecordTable {
  put(nodeId: NodeId, sealed: Uint8Array): Promise<void>
  get(nodeId: NodeId, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** The key of a node's record. */
export const tableKey = (nodeId: NodeId): string => `/emet/${nodeId}`

/** The table of a host that has its services. */
export function createRecordTable(host: Libp2p): RecordTable {
  const keyOf = (nodeId: NodeId) => new TextEncoder().encode(tableKey(nodeId))
  return {
    put: async (nodeId, sealed) => host.contentRouting.put(keyOf(nodeId), sealed),
    get: async (nodeId, signal) => {
      try {
        return await host.contentRouting.get(keyOf(nodeId), { signal })
      } catch {
        // Not found, or not in time: either way the table does not help.
        return undefined
      }
    },
  }
}
