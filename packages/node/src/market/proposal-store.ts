import type { InstantUs, NodeId, Reason, Role } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { ProposalRecord, ProposalState } from './types.ts'

/** What waits for an agent: a proposal, a rejection, or (providers) an agreement. */
export type QueuedEvent = {
  readonly subscriptionId: string
  readonly kind: 'proposal' | 'rejection' | 'agreement'
  /** The proposal's or agreement's id. */
  readonly subjectId: string
  readonly reason: Reason | null
  readonly atUs: InstantUs
}

/** Proposals, and the queues of events for agents. */
export interface ProposalStore {
  insert(proposal: ProposalRecord): void
  get(id: string): ProposalRecord | undefined
  /** The proposal, if it belongs to that subscription. */
  of(subscriptionId: string, id: string): ProposalRecord | undefined
  /** The first (initial) proposal of an offer and a demand. */
  initialOf(demandId: string, offerId: string): ProposalRecord | undefined
  /** The last proposal of this subscription that `id` led to: the one whose `prevId` it is. */
  counterOf(id: string): ProposalRecord | undefined
  update(id: string, change: { state?: ProposalState; isCountered?: boolean }): void
  remove(id: string): void
  count(subscriptionId: string): number
  /** Open (not countered, not rejected) proposals that `peer` has with the subscription. */
  countOpenOf(subscriptionId: string, peer: NodeId): number
  /** Our own drafts since `sinceUs` that were not given up, and that nobody has answered yet. */
  unanswered(sinceUs: InstantUs, limit: number): ProposalRecord[]
  enqueue(event: QueuedEvent): void
  queueLength(subscriptionId: string): number
  /** Waiting events, rejections and agreements first, else oldest first, with their row number. */
  queued(subscriptionId: string): (QueuedEvent & { readonly row: number })[]
  dequeue(rows: readonly number[]): void
  clearQueue(subscriptionId: string): void
}

export function createProposalStore(db: Database): ProposalStore {
  const one = (sql: string, ...parameters: string[]) => {
    const row = db.get(sql, ...parameters)
    return row && fromRow(row)
  }
  return {
    insert: (p) => insert(db, p),
    get: (id) => one('SELECT * FROM market_proposal WHERE id = ?', id),
    of: (subscriptionId, id) =>
      one('SELECT * FROM market_proposal WHERE id = ? AND subscription_id = ?', id, subscriptionId),
    initialOf: (demandId, offerId) =>
      one(
        "SELECT * FROM market_proposal WHERE subscription_id = ? AND offer_id = ? AND role = 'requestor' AND prev_id IS NULL ORDER BY created_us",
        demandId,
        offerId,
      ),
    counterOf: (id) => one('SELECT * FROM market_proposal WHERE prev_id = ?', id),
    update: (id, change) => {
      db.run(
        'UPDATE market_proposal SET state = coalesce(?, state), is_countered = coalesce(?, is_countered) WHERE id = ?',
        change.state ?? null,
        change.isCountered === undefined ? null : Number(change.isCountered),
        id,
      )
    },
    remove: (id) => {
      db.run('DELETE FROM market_proposal WHERE id = ?', id)
    },
    count: (subscriptionId) =>
      Number(db.get('SELECT count(*) AS n FROM market_proposal WHERE subscription_id = ?', subscriptionId)?.['n']),
    countOpenOf: (subscriptionId, peer) =>
      Number(
        db.get(
          `SELECT count(*) AS n FROM market_proposal WHERE subscription_id = ? AND peer_id = ?
           AND issuer = 'peer' AND is_countered = 0 AND state IN ('Initial', 'Draft')`,
          subscriptionId,
          peer,
        )?.['n'],
      ),
    unanswered: (sinceUs, limit) =>
      db
        .all(
          `SELECT p.* FROM market_proposal AS p JOIN market_proposal AS q ON q.id = p.prev_id
           WHERE p.issuer = 'own' AND p.state = 'Draft' AND p.is_countered = 0 AND q.is_countered = 1
           AND p.created_us >= ? ORDER BY p.created_us LIMIT ?`,
          sinceUs,
          limit,
        )
        .map(fromRow),
    ...queueOf(db),
  }
}

function queueOf(db: Database) {
  return {
    enqueue: (event: QueuedEvent) => {
      db.run(
        'INSERT INTO market_event (subscription_id, kind, subject_id, reason, at_us) VALUES (?, ?, ?, ?, ?)',
        event.subscriptionId,
        event.kind,
        event.subjectId,
        event.reason && JSON.stringify(event.reason),
        event.atUs,
      )
    },
    queueLength: (subscriptionId: string) =>
      Number(db.get('SELECT count(*) AS n FROM market_event WHERE subscription_id = ?', subscriptionId)?.['n']),
    queued: (subscriptionId: string) =>
      db
        .all("SELECT * FROM market_event WHERE subscription_id = ? ORDER BY kind = 'proposal', seq", subscriptionId)
        .map((row) => ({ ...eventFromRow(row), row: Number(row['seq']) })),
    dequeue: (rows: readonly number[]) => {
      db.run('DELETE FROM market_event WHERE seq IN (SELECT value FROM json_each(?))', JSON.stringify(rows))
    },
    clearQueue: (subscriptionId: string) => {
      db.run('DELETE FROM market_event WHERE subscription_id = ?', subscriptionId)
    },
  }
}

function insert(db: Database, p: ProposalRecord): void {
  db.run(
    'INSERT INTO market_proposal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    p.id,
    p.role,
    p.subscriptionId,
    p.offerId,
    p.demandId,
    p.ownerId,
    p.peerId,
    p.issuer,
    p.state,
    p.properties,
    p.constraints,
    p.creationTs,
    p.expirationTs,
    p.createdUs,
    p.prevId,
    Number(p.isCountered),
  )
}

function eventFromRow(row: Row): QueuedEvent {
  return {
    subscriptionId: String(row['subscription_id']),
    kind: row['kind'] as QueuedEvent['kind'],
    subjectId: String(row['subject_id']),
    reason: row['reason'] === null ? null : (JSON.parse(String(row['reason'])) as Reason),
    atUs: Number(row['at_us']),
  }
}

function fromRow(row: Row): ProposalRecord {
  return {
    id: String(row['id']),
    role: row['role'] as Role,
    subscriptionId: String(row['subscription_id']),
    offerId: String(row['offer_id']),
    demandId: String(row['demand_id']),
    ownerId: row['owner_id'] as NodeId,
    peerId: row['peer_id'] as NodeId,
    issuer: row['issuer'] as 'own' | 'peer',
    state: row['state'] as ProposalState,
    properties: String(row['properties']),
    constraints: String(row['constraints']),
    creationTs: String(row['creation_ts']),
    expirationTs: String(row['expiration_ts']),
    createdUs: Number(row['created_us']),
    prevId: row['prev_id'] as string | null,
    isCountered: row['is_countered'] === 1,
  }
}
