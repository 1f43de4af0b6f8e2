import type { InstantUs, NodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { Subscription, SubscriptionKind } from './types.ts'

/** Our own offers and demands on disk. */
export interface SubscriptionStore {
  insert(subscription: Subscription): void
  get(id: string): Subscription | undefined
  /** Neither unsubscribed nor expired at `nowUs`, oldest first. */
  active(nowUs: InstantUs, kind?: SubscriptionKind, owner?: NodeId): Subscription[]
  end(id: string, nowUs: InstantUs): void
  /** Removes those that ended before `beforeUs`, with proposals and events; returns how many. */
  removeEndedBefore(beforeUs: InstantUs): number
}

export function createSubscriptionStore(db: Database): SubscriptionStore {
  return {
    insert: (s) => {
      db.run(
        'INSERT INTO market_subscription VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        s.id,
        s.kind,
        s.nodeId,
        s.properties,
        s.constraints,
        s.creationTs,
        s.expirationTs,
        s.createdUs,
        s.expiresUs,
        s.endedUs,
        s.signature,
      )
    },
    get: (id) => {
      const row = db.get('SELECT * FROM market_subscription WHERE id = ?', id)
      return row && fromRow(row)
    },
    active: (nowUs, kind, owner) =>
      db
        .all(
          `SELECT * FROM market_subscription WHERE expires_us > ? AND ended_us IS NULL
           AND kind = coalesce(?, kind) AND node_id = coalesce(?, node_id) ORDER BY created_us, rowid`,
          nowUs,
          kind ?? null,
          owner ?? null,
        )
        .map(fromRow),
    end: (id, nowUs) => {
      db.run('UPDATE market_subscription SET ended_us = ? WHERE id = ? AND ended_us IS NULL', nowUs, id)
    },
    removeEndedBefore: (beforeUs) =>
      db.transaction(() => {
        const doomed = 'SELECT id FROM market_subscription WHERE min(expires_us, coalesce(ended_us, expires_us)) < ?'
        db.run(`DELETE FROM market_event WHERE subscription_id IN (${doomed})`, beforeUs)
        db.run(`DELETE FROM market_proposal WHERE subscription_id IN (${doomed})`, beforeUs)
        return db.run(`DELETE FROM market_subscription WHERE id IN (${doomed})`, beforeUs)
      }),
  }
}

function fromRow(row: Row): Subscription {
  return {
    id: String(row['id']),
    kind: row['kind'] as SubscriptionKind,
    nodeId: row['node_id'] as NodeId,
    properties: String(row['properties']),
    constraints: String(row['constraints']),
    creationTs: String(row['creation_ts']),
    expirationTs: String(row['expiration_ts']),
    createdUs: Number(row['created_us']),
    expiresUs: Number(row['expires_us']),
    endedUs: row['ended_us'] as number | null,
    signature: row['signature'] as string | null,
  }
}
