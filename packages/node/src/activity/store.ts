import { type ActivityState, activityStateSchema, type InstantUs, type NodeId, nodeId, type Role } from '@emet/core'
import type { Database, Row, SqlValue } from '../store/index.ts'
import type { ActivityFilter, ActivityRecord } from './types.ts'

/** Something for the provider agent to do. `atUs` is strictly increasing and serves as the cursor. */
export type ActivityEvent = {
  readonly atUs: InstantUs
  readonly activityId: string
  readonly agreementId: string
  readonly kind: 'create' | 'destroy'
  /** Hex. Only of `create`, and only when the requestor gave one. */
  readonly requestorPubKey: string | null
}

export type NewActivity = Pick<ActivityRecord, 'activityId' | 'role' | 'ownerId' | 'peerId' | 'agreementId' | 'state'>

/** Rows live until `prune`, which removes terminated activities and events that have become old. */
export interface ActivityStore {
  insert(activity: NewActivity, nowUs: InstantUs): void
  get(activityId: string, role: Role): ActivityRecord | undefined
  /** The records of one activity: one, or one of each side. */
  find(activityId: string): ActivityRecord[]
  list(owner: NodeId, filter: ActivityFilter): ActivityRecord[]
  /** All in the role that are not terminated. */
  alive(role: Role): ActivityRecord[]
  /** How many an agreement has had, and how many of them live. */
  count(agreementId: string, role: Role): { readonly total: number; readonly alive: number }
  setState(activityId: string, role: Role, state: ActivityState, nowUs: InstantUs): void
  setUsage(activityId: string, role: Role, usage: { counters: readonly number[]; atSeconds: number }): void
  setDestroyRequested(activityId: string, nowUs: InstantUs): void
  addEvent(
    event: Omit<ActivityEvent, 'atUs'> & { ownerId: NodeId; appSessionId: string | null },
    nowUs: InstantUs,
  ): void
  events(
    owner: NodeId,
    options: { afterUs: InstantUs; maxEvents: number; appSessionId?: string | undefined },
  ): ActivityEvent[]
  prune(beforeUs: InstantUs): void
  transaction<T>(work: () => T): T
}

const MIGRATIONS = [
  `CREATE TABLE activity (
     activity_id TEXT NOT NULL, role TEXT NOT NULL, owner_id TEXT NOT NULL, peer_id TEXT NOT NULL,
     agreement_id TEXT NOT NULL, is_terminated INTEGER NOT NULL, state TEXT NOT NULL,
     usage TEXT, usage_s INTEGER, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, destroy_us INTEGER,
     PRIMARY KEY (activity_id, role)
   ) STRICT;
   CREATE INDEX activity_by_agreement ON activity (agreement_id, role);
   CREATE INDEX activity_by_owner ON activity (owner_id, created_us);
   CREATE INDEX activity_alive ON activity (role) WHERE is_terminated = 0;
   CREATE TABLE activity_event (
     at_us INTEGER PRIMARY KEY, owner_id TEXT NOT NULL, app_session_id TEXT, activity_id TEXT NOT NULL,
     agreement_id TEXT NOT NULL, kind TEXT NOT NULL, requestor_pub_key TEXT
   ) STRICT;
   CREATE INDEX activity_event_by_owner ON activity_event (owner_id, at_us);`,
]

/** Activities listed at one time by default. */
const LIST_MAX = 1_000

/** The store in the daemon's database. */
export function createActivityStore(db: Database): ActivityStore {
  db.migrate('activity', MIGRATIONS)
  const all = (sql: string, ...parameters: SqlValue[]) => db.all(sql, ...parameters).map(fromRow)
  return {
    insert: ({ activityId, role, ownerId, peerId, agreementId, state }, nowUs) =>
      void db.run(
        `INSERT INTO activity (activity_id, role, owner_id, peer_id, agreement_id, is_terminated, state, created_us,
           updated_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[activityId, role, ownerId, peerId, agreementId, terminatedFlag(state), JSON.stringify(state), nowUs, nowUs],
      ),
    get: (activityId, role) => all('SELECT * FROM activity WHERE activity_id = ? AND role = ?', activityId, role)[0],
    find: (activityId) => all('SELECT * FROM activity WHERE activity_id = ?', activityId),
    list: (owner, filter) => {
      const sql = `SELECT * FROM activity WHERE owner_id = ? AND (? IS NULL OR role = ?) AND (? IS NULL OR agreement_id = ?)
        AND (? IS NULL OR is_terminated = ?) ORDER BY created_us DESC, activity_id LIMIT ?`
      const role = filter.role ?? null
      const agreement = filter.agreementId ?? null
      const terminated = filter.alive === undefined ? null : Number(!filter.alive)
      const max = filter.maxItems ?? LIST_MAX
      return all(sql, owner, role, role, agreement, agreement, terminated, terminated, max)
    },
    alive: (role) => all('SELECT * FROM activity WHERE role = ? AND is_terminated = 0', role),
    count: (agreementId, role) => {
      const sql =
        'SELECT count(*) AS total, sum(is_terminated = 0) AS alive FROM activity WHERE agreement_id = ? AND role = ?'
      const row = db.get(sql, agreementId, role)
      return { total: Number(row?.['total'] ?? 0), alive: Number(row?.['alive'] ?? 0) }
    },
    setState: (activityId, role, state, nowUs) =>
      void db.run(
        'UPDATE activity SET state = ?, is_terminated = ?, updated_us = ? WHERE activity_id = ? AND role = ?',
        ...[JSON.stringify(state), terminatedFlag(state), nowUs, activityId, role],
      ),
    setUsage: (activityId, role, { counters, atSeconds }) =>
      void db.run(
        'UPDATE activity SET usage = ?, usage_s = ? WHERE activity_id = ? AND role = ?',
        ...[JSON.stringify(counters), atSeconds, activityId, role],
      ),
    setDestroyRequested: (activityId, nowUs) =>
      void db.run("UPDATE activity SET destroy_us = ? WHERE activity_id = ? AND role = 'provider'", nowUs, activityId),
    addEvent: ({ ownerId, appSessionId, activityId, agreementId, kind, requestorPubKey }, nowUs) =>
      void db.run(
        `INSERT INTO activity_event (at_us, owner_id, app_session_id, activity_id, agreement_id, kind, requestor_pub_key)
         SELECT max(?, coalesce(max(at_us) + 1, 0)), ?, ?, ?, ?, ?, ? FROM activity_event`,
        ...[nowUs, ownerId, appSessionId, activityId, agreementId, kind, requestorPubKey],
      ),
    events: (owner, { afterUs, maxEvents, appSessionId = null }) =>
      db
        .all(
          `SELECT * FROM activity_event WHERE owner_id = ? AND at_us > ? AND (? IS NULL OR app_session_id = ?)
           ORDER BY at_us LIMIT ?`,
          ...[owner, afterUs, appSessionId, appSessionId, maxEvents],
        )
        .map(eventFromRow),
    prune: (beforeUs) => {
      db.run('DELETE FROM activity_event WHERE at_us < ?', beforeUs)
      db.run('DELETE FROM activity WHERE is_terminated = 1 AND updated_us < ?', beforeUs)
    },
    transaction: (work) => db.transaction(work),
  }
}

function terminatedFlag(state: ActivityState): number {
  return state.state[0] === 'Terminated' ? 1 : 0
}

function fromRow(row: Row): ActivityRecord {
  const usage = row['usage']
  return {
    activityId: String(row['activity_id']),
    role: row['role'] === 'provider' ? 'provider' : 'requestor',
    ownerId: nodeId(String(row['owner_id'])),
    peerId: nodeId(String(row['peer_id'])),
    agreementId: String(row['agreement_id']),
    state: activityStateSchema.parse(JSON.parse(String(row['state']))),
    usage:
      typeof usage === 'string'
        ? { currentUsage: JSON.parse(usage) as number[], timestamp: Number(row['usage_s']) }
        : null,
    createdUs: Number(row['created_us']),
    updatedUs: Number(row['updated_us']),
    destroyRequestedUs: row['destroy_us'] == null ? null : Number(row['destroy_us']),
  }
}

function eventFromRow(row: Row): ActivityEvent {
  return {
    atUs: Number(row['at_us']),
    activityId: String(row['activity_id']),
    agreementId: String(row['agreement_id']),
    kind: row['kind'] === 'create' ? 'create' : 'destroy',
    requestorPubKey: row['requestor_pub_key'] == null ? null : String(row['requestor_pub_key']),
  }
}
