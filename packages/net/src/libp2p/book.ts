import { type Clock, type Logger, messageOf, type NodeId } from '@emet/core'
import type { PeerId } from '@libp2p/interface'
import { NetError } from '../errors.ts'
import type { NodeRecord } from './record.ts'
import { type RecordTable, TABLE_REFRESH_MS } from './record-table.ts'

/** Records that a relay keeps; the oldest go first. */
export const RECORDS_MAX = 50_000

/** How long a relay keeps a record that is not renewed. */
export const RECORD_LIFETIME_MS = 30 * 60_000

type BookDeps = { clock: Clock; logger: Logger; table: RecordTable | undefined }
type Entry = { sealed: Uint8Array; record: NodeRecord; untilMs: number; putMs: number }

/** The records that a relay has been told, by NodeId. */
export interface Book {
  /** Fails with `not-proven` when a node tells another's record. */
  keep(sealed: Uint8Array, record: NodeRecord, from: PeerId): void
  find(nodeId: NodeId): { readonly sealed: Uint8Array; readonly record: NodeRecord } | undefined
}

export function createBook({ clock, logger, table }: BookDeps): Book {
  const entries = new Map<NodeId, Entry>()

  const putIntoTable = (nodeId: NodeId, sealed: Uint8Array) => {
    table?.put(nodeId, sealed).catch((error: unknown) => {
      logger.debug('the table did not take a record', { nodeId, error: messageOf(error) })
    })
  }
  return {
    keep: (sealed, record, from) => {
      const { nodeId } = record
      if (!record.peerId.equals(from)) throw new NetError('not-proven', 'a node may publish its own record only')
      const known = entries.get(nodeId)
      if (known && known.record.sequence > record.sequence) return
      const nowMs = clock.monotonicMs()
      const isNews = !known || nowMs - known.putMs > TABLE_REFRESH_MS || !hasSameAddresses(known.record, record)
      if (isNews) putIntoTable(nodeId, sealed)
      entries.delete(nodeId)
      entries.set(nodeId, { sealed, record, untilMs: nowMs + RECORD_LIFETIME_MS, putMs: isNews ? nowMs : known.putMs })
      const [oldest] = entries.keys()
      if (entries.size > RECORDS_MAX && oldest) entries.delete(oldest)
    },
    find: (nodeId) => {
      const entry = entries.get(nodeId)
      if (entry && entry.untilMs >= clock.monotonicMs()) return entry
      entries.delete(nodeId)
      return undefined
    },
  }
}

function hasSameAddresses(a: NodeRecord, b: NodeRecord): boolean {
  const text = ({ addresses }: NodeRecord) => addresses.map(String).sort().join(' ')
  return text(a) === text(b)
}
