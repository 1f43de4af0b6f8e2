import type { InstantUs, NodeId, Reason, Role } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { AgreementRecord, AgreementRecordState } from './types.ts'

export type AgreementEventKind = 'approved' | 'rejected' | 'cancelled' | 'terminated'

/** One entry of the feed that REST clients read with a cursor. */
export type AgreementEventRecord = {
  /** The cursor: strictly increasing over all events of this daemon. */
  readonly atUs: InstantUs
  readonly agreementId: string
  readonly role: Role
  readonly kind: AgreementEventKind
  readonly terminator: Role | null
  readonly reason: Reason | null
}

export type AgreementChanges = Partial<
  Pick<AgreementRecord, 'state' | 'approvedUs' | 'appSessionId' | 'reason' | 'terminator' | 'isInDoubt'>
>

export interface AgreementStore {
  insert(agreement: AgreementRecord): void
  get(agreementId: string, role: Role): AgreementRecord | undefined
  /** The agreement made from this proposal, whatever its state. */
  ofProposal(proposalId: string): AgreementRecord | undefined
  update(agreementId: string, role: Role, changes: AgreementChanges): void
  /** All agreements of an identity in the order of their creation. */
  list(owner: NodeId): AgreementRecord[]
  /** In doubt, or in the middle of an approval. */
  unsettled(): AgreementRecord[]
  /** Open (Proposal, Pending, Approving) agreements past their `validTo`. */
  overdue(nowUs: InstantUs): AgreementRecord[]
  countPending(role: Role, peer: NodeId): number
  appendEvent(event: AgreementEventRecord): void
  lastEventUs(): InstantUs
  events(
    owner: NodeId,
    query: { afterUs: InstantUs; appSessionId?: string | undefined; limit: number },
  ): AgreementEventRecord[]
  terminationOf(agreementId: string, role: Role): AgreementEventRecord | undefined
  /** Removes agreements that are over, and their events; returns how many. */
  removeOverBefore(validToUs: InstantUs): number
}

export function createAgreementStore(db: Database): AgreementStore {
  const rows = (sql: string, ...parameters: (string | number)[]) => db.all(sql, ...parameters).map(fromRow)
  return {
    insert: (a) => insert(db, a),
    get: (agreementId, role) =>
      rows('SELECT * FROM market_agreement WHERE agreement_id = ? AND role = ?', agreementId, role)[0],
    ofProposal: (proposalId) => rows('SELECT * FROM market_agreement WHERE proposal_id = ?', proposalId)[0],
    update: (agreementId, role, changes) => update(db, agreementId, role, changes),
    list: (owner) => rows('SELECT * FROM market_agreement WHERE owner_id = ? ORDER BY created_us, rowid', owner),
    unsettled: () => rows("SELECT * FROM market_agreement WHERE in_doubt = 1 OR state = 'Approving'"),
    overdue: (nowUs) =>
      rows(
        "SELECT * FROM market_agreement WHERE valid_to_us < ? AND state IN ('Proposal', 'Pending', 'Approving')",
        nowUs,
      ),
    countPending: (role, peer) =>
      Number(
        db.get(
          "SELECT count(*) AS n FROM market_agreement WHERE role = ? AND peer_id = ? AND state = 'Pending'",
          role,
          peer,
        )?.['n'],
      ),
    ...eventsOf(db),
    removeOverBefore: (validToUs) =>
      db.transaction(() => {
        const doomed = "FROM market_agreement AS a WHERE a.valid_to_us < ? AND a.state NOT IN ('Approved', 'Approving')"
        db.run(
          `DELETE FROM market_agreement_event WHERE EXISTS (SELECT 1 ${doomed}
           AND a.agreement_id = market_agreement_event.agreement_id AND a.role = market_agreement_event.role)`,
          validToUs,
        )
        return db.run(`DELETE FROM market_agreement WHERE rowid IN (SELECT a.rowid ${doomed})`, validToUs)
      }),
  }
}

function eventsOf(db: Database) {
  return {
    appendEvent: (event: AgreementEventRecord) => {
      db.run(
        'INSERT INTO market_agreement_event VALUES (?, ?, ?, ?, ?, ?)',
        event.atUs,
        event.agreementId,
        event.role,
        event.kind,
        event.terminator,
        event.reason && JSON.stringify(event.reason),
      )
    },
    lastEventUs: () => Number(db.get('SELECT coalesce(max(at_us), 0) AS at FROM market_agreement_event')?.['at']),
    events: (owner: NodeId, query: { afterUs: InstantUs; appSessionId?: string | undefined; limit: number }) =>
      db
        .all(
          `SELECT e.* FROM market_agreement_event AS e JOIN market_agreement AS a USING (agreement_id, role)
           WHERE e.at_us > ? AND a.owner_id = ? AND (? IS NULL OR a.app_session_id = ?) ORDER BY e.at_us LIMIT ?`,
          query.afterUs,
          owner,
          query.appSessionId ?? null,
          query.appSessionId ?? null,
          query.limit,
        )
        .map(eventFromRow),
    terminationOf: (agreementId: string, role: Role) => {
      const row = db.get(
        "SELECT * FROM market_agreement_event WHERE agreement_id = ? AND role = ? AND kind = 'terminated'",
        agreementId,
        role,
      )
      return row && eventFromRow(row)
    },
  }
}

function insert(db: Database, a: AgreementRecord): void {
  db.run(
    'INSERT INTO market_agreement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    a.agreementId,
    a.role,
    a.ownerId,
    a.peerId,
    a.offerId,
    a.demandId,
    a.offer.properties,
    a.offer.constraints,
    a.demand.properties,
    a.demand.constraints,
    a.proposalId,
    a.creationTs,
    a.createdUs,
    a.validToUs,
    a.state,
    a.approvedUs,
    a.appSessionId,
    a.reason && JSON.stringify(a.reason),
    a.terminator,
    Number(a.isInDoubt),
  )
}

const COLUMNS = {
  state: 'state',
  approvedUs: 'approved_us',
  appSessionId: 'app_session_id',
  reason: 'reason',
  terminator: 'terminator',
  isInDoubt: 'in_doubt',
} as const

function update(db: Database, agreementId: string, role: Role, changes: AgreementChanges): void {
  const names = (Object.keys(changes) as (keyof AgreementChanges)[]).sort()
  const values = names.map((name) => {
    const value = changes[name] ?? null
    if (typeof value === 'object' && value !== null) return JSON.stringify(value)
    return typeof value === 'boolean' ? Number(value) : value
  })
  const sets = names.map((name) => `${COLUMNS[name]} = ?`).join(', ')
  db.run(`UPDATE market_agreement SET ${sets} WHERE agreement_id = ? AND role = ?`, ...values, agreementId, role)
}

function eventFromRow(row: Row): AgreementEventRecord {
  return {
    atUs: Number(row['at_us']),
    agreementId: String(row['agreement_id']),
    role: row['role'] as Role,
    kind: row['kind'] as AgreementEventKind,
    terminator: row['terminator'] as Role | null,
    reason: reasonOf(row['reason']),
  }
}

function reasonOf(value: unknown): Reason | null {
  return typeof value === 'string' ? (JSON.parse(value) as Reason) : null
}

function fromRow(row: Row): AgreementRecord {
  return {
    agreementId: String(row['agreement_id']),
    role: row['role'] as Role,
    ownerId: row['owner_id'] as NodeId,
    peerId: row['peer_id'] as NodeId,
    offerId: String(row['offer_id']),
    demandId: String(row['demand_id']),
    offer: { properties: String(row['offer_properties']), constraints: String(row['offer_constraints']) },
    demand: { properties: String(row['demand_properties']), constraints: String(row['demand_constraints']) },
    proposalId: String(row['proposal_id']),
    creationTs: String(row['creation_ts']),
    createdUs: Number(row['created_us']),
    validToUs: Number(row['valid_to_us']),
    state: row['state'] as AgreementRecordState,
    approvedUs: row['approved_us'] as number | null,
    appSessionId: row['app_session_id'] as string | null,
    reason: reasonOf(row['reason']),
    terminator: row['terminator'] as Role | null,
    isInDoubt: row['in_doubt'] === 1,
  }
}
