import type { NodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { OutboxEntry, OutboxKind, SyncState } from './records.ts'
import { integer, json, limitOf, maybeInteger, node, text, toJson } from './store-rows.ts'

export interface OutboxStore {
  /** Does nothing when it is there already. Returns the entry. */
  add(entry: Omit<OutboxEntry, 'id'>): OutboxEntry
  get(id: number): OutboxEntry | undefined
  of(owner: NodeId, peerId: NodeId, max?: number): OutboxEntry[]
  remove(id: number): void
  peers(): { owner: NodeId; peerId: NodeId }[]
  sync(owner: NodeId, peerId: NodeId): SyncState | undefined
  saveSync(state: SyncState): void
  dropSync(owner: NodeId, peerId: NodeId): void
  /** The planned attempts, the next first. */
  nextSyncs(max: number): SyncState[]
}

export function createOutboxStore(db: Database): OutboxStore {
  const entries = (where: string, ...parameters: (string | number)[]) =>
    db.all(`SELECT * FROM payment_outbox WHERE ${where}`, ...parameters).map(fromRow)
  const syncs = (where: string, ...parameters: (string | number)[]) =>
    db.all(`SELECT * FROM payment_sync WHERE ${where}`, ...parameters).map(syncFromRow)
  return {
    add: ({ owner, peerId, kind, ref, details }) => {
      db.run(
        'INSERT OR IGNORE INTO payment_outbox VALUES (NULL, ?, ?, ?, ?, ?)',
        ...[owner, peerId, kind, ref, toJson(details)],
      )
      const [entry] = entries('owner = ? AND kind = ? AND ref = ?', owner, kind, ref)
      if (!entry) throw new TypeError('an outbox entry vanished')
      return entry
    },
    get: (id) => entries('id = ?', id)[0],
    of: (owner, peerId, max) => entries('owner = ? AND peer_id = ? ORDER BY id LIMIT ?', owner, peerId, limitOf(max)),
    remove: (id) => void db.run('DELETE FROM payment_outbox WHERE id = ?', id),
    peers: () =>
      db
        .all('SELECT DISTINCT owner, peer_id FROM payment_outbox')
        .map((row) => ({ owner: node(row, 'owner'), peerId: node(row, 'peer_id') })),
    sync: (owner, peerId) => syncs('owner = ? AND peer_id = ?', owner, peerId)[0],
    saveSync: ({ owner, peerId, tries, nextMs }) =>
      void db.run('INSERT OR REPLACE INTO payment_sync VALUES (?, ?, ?, ?)', owner, peerId, tries, nextMs ?? null),
    dropSync: (owner, peerId) => void db.run('DELETE FROM payment_sync WHERE owner = ? AND peer_id = ?', owner, peerId),
    nextSyncs: (max) => syncs('next_ms IS NOT NULL ORDER BY next_ms LIMIT ?', max),
  }
}

function fromRow(row: Row): OutboxEntry {
  return {
    id: integer(row, 'id'),
    owner: node(row, 'owner'),
    peerId: node(row, 'peer_id'),
    kind: text(row, 'kind') as OutboxKind,
    ref: text(row, 'ref'),
    details: json(row, 'details'),
  }
}

function syncFromRow(row: Row): SyncState {
  return {
    owner: node(row, 'owner'),
    peerId: node(row, 'peer_id'),
    tries: integer(row, 'tries'),
    nextMs: maybeInteger(row, 'next_ms'),
  }
}
