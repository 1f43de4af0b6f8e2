import type { DocumentKind, DocumentStatus, InstantUs, NodeId, Role } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { PaymentDocument } from './records.ts'
import { integer, json, limitOf, maybeInteger, maybeText, node, role, text, toJson, wei } from './store-rows.ts'

export type DocumentKey = { readonly owner: NodeId; readonly role: Role; readonly id: string }

export interface DocumentStore {
  insert(document: PaymentDocument): void
  get(key: DocumentKey): PaymentDocument | undefined
  /** In either role; the provider's record wins when both are the same identity's. */
  find(owner: NodeId, kind: DocumentKind, id: string): PaymentDocument | undefined
  setStatus(key: DocumentKey, status: DocumentStatus, nowUs: InstantUs): void
  /** The owner's, both roles, strictly after a timestamp, oldest first. */
  list(owner: NodeId, kind: DocumentKind, afterUs?: InstantUs, max?: number): PaymentDocument[]
  ofAgreement(owner: NodeId, role: Role, kind: DocumentKind, agreementId: string): PaymentDocument[]
  /** An activity's debit notes, newest first. */
  debitNotes(owner: NodeId, role: Role, activityId: string, max?: number): PaymentDocument[]
  count(owner: NodeId, role: Role, agreementId: string): number
  /** All identities' documents with that status. */
  withStatus(status: DocumentStatus, role: Role): PaymentDocument[]
  /** Who owes this node's identities for documents that are sent and not settled. */
  unsettledPayers(): { owner: NodeId; peerId: NodeId }[]
  /** Drops finished ones that have not changed since; returns how many. */
  dropFinished(beforeUs: InstantUs): number
}

export function createDocumentStore(db: Database): DocumentStore {
  const list = (sql: string, ...parameters: (string | number)[]) => db.all(sql, ...parameters).map(fromRow)
  return {
    insert: (document) => insert(db, document),
    get: ({ owner, role, id }) =>
      list('SELECT * FROM payment_document WHERE owner = ? AND role = ? AND id = ?', owner, role, id)[0],
    find: (owner, kind, id) =>
      list('SELECT * FROM payment_document WHERE owner = ? AND kind = ? AND id = ? ORDER BY role', owner, kind, id)[0],
    setStatus: ({ owner, role, id }, status, nowUs) => {
      db.run(
        'UPDATE payment_document SET status = ?, updated_us = ? WHERE owner = ? AND role = ? AND id = ?',
        ...[status, nowUs, owner, role, id],
      )
    },
    list: (owner, kind, afterUs, max) =>
      list(
        `SELECT * FROM payment_document WHERE owner = ? AND kind = ? AND timestamp_us > ?
         ORDER BY timestamp_us, rowid LIMIT ?`,
        ...[owner, kind, afterUs ?? -1, limitOf(max)],
      ),
    ofAgreement: (owner, role, kind, agreementId) =>
      list(
        `SELECT * FROM payment_document WHERE agreement_id = ? AND owner = ? AND role = ? AND kind = ?
         ORDER BY timestamp_us, rowid`,
        ...[agreementId, owner, role, kind],
      ),
    debitNotes: (owner, role, activityId, max) =>
      list(
        `SELECT * FROM payment_document WHERE agreement_id IN
           (SELECT agreement_id FROM payment_activity WHERE owner = ?1 AND role = ?2 AND id = ?3)
         AND owner = ?1 AND role = ?2 AND kind = 'debit-note' AND activity_id = ?3
         ORDER BY timestamp_us DESC, rowid DESC LIMIT ?4`,
        ...[owner, role, activityId, limitOf(max)],
      ),
    count: (owner, role, agreementId) => {
      const row = db.get(
        'SELECT COUNT(*) AS n FROM payment_document WHERE agreement_id = ? AND owner = ? AND role = ?',
        ...[agreementId, owner, role],
      )
      return row ? integer(row, 'n') : 0
    },
    withStatus: (status, role) => list('SELECT * FROM payment_document WHERE status = ? AND role = ?', status, role),
    unsettledPayers: () =>
      db
        .all(
          `SELECT DISTINCT owner, recipient_id FROM payment_document
           WHERE role = 'provider' AND status IN ('RECEIVED', 'ACCEPTED')`,
        )
        .map((row) => ({ owner: node(row, 'owner'), peerId: node(row, 'recipient_id') })),
    dropFinished: (beforeUs) =>
      db.run(
        `DELETE FROM payment_document WHERE status IN ('SETTLED', 'CANCELLED', 'REJECTED') AND updated_us < ?`,
        beforeUs,
      ),
  }
}

function insert(db: Database, d: PaymentDocument): void {
  db.run(
    'INSERT INTO payment_document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ...[d.owner, d.role, d.id, d.kind, d.agreementId, d.activityId ?? null, JSON.stringify(d.activityIds)],
    ...[d.previousId ?? null, d.issuerId, d.recipientId, d.payeeAddr, d.payerAddr, d.platform, `${d.amountWei}`],
    ...[toJson(d.usage), d.dueUs ?? null, d.timestampUs, d.status, d.timestampUs],
  )
}

function fromRow(row: Row): PaymentDocument {
  return {
    owner: node(row, 'owner'),
    role: role(row),
    id: text(row, 'id'),
    kind: text(row, 'kind') as DocumentKind,
    agreementId: text(row, 'agreement_id'),
    activityId: maybeText(row, 'activity_id'),
    activityIds: json(row, 'activity_ids') as string[],
    previousId: maybeText(row, 'previous_id'),
    issuerId: node(row, 'issuer_id'),
    recipientId: node(row, 'recipient_id'),
    payeeAddr: node(row, 'payee_addr'),
    payerAddr: node(row, 'payer_addr'),
    platform: text(row, 'platform'),
    amountWei: wei(row, 'amount_wei'),
    usage: json(row, 'usage'),
    dueUs: maybeInteger(row, 'due_us'),
    timestampUs: integer(row, 'timestamp_us'),
    status: text(row, 'status') as DocumentStatus,
  }
}
