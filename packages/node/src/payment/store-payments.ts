import type { InstantUs, NodeId, Role } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { AnnouncedPayment, Bytes, PaymentRecord, PaymentShare } from './records.ts'
import { blob, integer, limitOf, maybeBlob, maybeInteger, maybeText, node, role, text, wei } from './store-rows.ts'

export interface PaymentRecordStore {
  insert(payment: PaymentRecord): void
  get(owner: NodeId, role: Role, id: string): PaymentRecord | undefined
  find(owner: NodeId, id: string): PaymentRecord | undefined
  /** Strictly after a recording instant, oldest first; only those for agreements of a session, if one is named. */
  list(owner: NodeId, afterUs: InstantUs, appSessionId?: string, max?: number): PaymentRecord[]
  /** Those that pay something of the agreement or its activities. */
  ofAgreement(owner: NodeId, agreementId: string): PaymentRecord[]
  setSignature(owner: NodeId, id: string, signature: Bytes, signedBytes: Bytes): void
  setRecheck(owner: NodeId, id: string, recheckMs: number | undefined): void
  /** The received payment that is to be looked at next. */
  nextRecheck(): PaymentRecord | undefined
  /** Takes a received payment back: the chain shows it no more. */
  remove(owner: NodeId, role: Role, id: string): void
  lastRecordedUs(): InstantUs
  announce(payment: AnnouncedPayment): void
  announced(owner: NodeId, id: string): AnnouncedPayment | undefined
  announcedBy(peerId: NodeId): number
  nextAnnounced(): AnnouncedPayment | undefined
  dropAnnounced(owner: NodeId, id: string): void
}

export function createPaymentRecordStore(db: Database): PaymentRecordStore {
  return { ...recordPart(db), ...announcedPart(db) }
}

function recordPart(db: Database) {
  const list = (rest: string, ...parameters: (string | number)[]) =>
    db.all(`SELECT * FROM payment_payment WHERE ${rest}`, ...parameters).map((row) => fromRow(db, row))
  return {
    insert: (payment: PaymentRecord) => insert(db, payment),
    get: (owner: NodeId, role: Role, id: string) => list('owner = ? AND role = ? AND id = ?', owner, role, id)[0],
    find: (owner: NodeId, id: string) => list('owner = ? AND id = ? ORDER BY role', owner, id)[0],
    list: (owner: NodeId, afterUs: InstantUs, appSessionId?: string, max?: number) =>
      list(
        `owner = ?1 AND recorded_us > ?2 AND (?3 = '' OR EXISTS (
           SELECT 1 FROM payment_share AS s JOIN payment_agreement AS a
             ON a.owner = s.owner AND a.role = s.role AND a.id = s.agreement_id
           WHERE s.owner = payment_payment.owner AND s.role = payment_payment.role
             AND s.payment_id = payment_payment.id AND a.app_session_id = ?3))
         ORDER BY recorded_us LIMIT ?4`,
        ...[owner, afterUs, appSessionId ?? '', limitOf(max)],
      ),
    ofAgreement: (owner: NodeId, agreementId: string) =>
      list(
        `owner = ?1 AND (role, id) IN
           (SELECT role, payment_id FROM payment_share WHERE agreement_id = ?2 AND owner = ?1) ORDER BY recorded_us`,
        ...[owner, agreementId],
      ),
    setSignature: (owner: NodeId, id: string, signature: Bytes, signedBytes: Bytes) => {
      db.run(
        `UPDATE payment_payment SET signature = ?, signed_bytes = ? WHERE owner = ? AND role = 'requestor' AND id = ?`,
        ...[signature, signedBytes, owner, id],
      )
    },
    setRecheck: (owner: NodeId, id: string, recheckMs: number | undefined) => {
      db.run(
        `UPDATE payment_payment SET recheck_ms = ? WHERE owner = ? AND role = 'provider' AND id = ?`,
        ...[recheckMs ?? null, owner, id],
      )
    },
    nextRecheck: () => list('recheck_ms IS NOT NULL ORDER BY recheck_ms LIMIT 1')[0],
    remove: (owner: NodeId, role: Role, id: string) => {
      db.run('DELETE FROM payment_share WHERE owner = ? AND role = ? AND payment_id = ?', owner, role, id)
      db.run('DELETE FROM payment_payment WHERE owner = ? AND role = ? AND id = ?', owner, role, id)
    },
    lastRecordedUs: () => {
      const row = db.get('SELECT MAX(recorded_us) AS last FROM payment_payment')
      return (row && maybeInteger(row, 'last')) ?? 0
    },
  }
}

function announcedPart(db: Database) {
  const list = (rest: string, ...parameters: string[]) =>
    db.all(`SELECT * FROM payment_announced WHERE ${rest}`, ...parameters).map(announcedFromRow)
  return {
    announce: (p: AnnouncedPayment) => {
      db.run(
        'INSERT OR REPLACE INTO payment_announced VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        ...[p.owner, p.id, p.peerId, p.signature, p.signedBytes, p.firstSeenMs, p.tries, p.nextTryMs],
      )
    },
    announced: (owner: NodeId, id: string) => list('owner = ? AND id = ?', owner, id)[0],
    announcedBy: (peerId: NodeId) => {
      const row = db.get('SELECT COUNT(*) AS n FROM payment_announced WHERE peer_id = ?', peerId)
      return row ? integer(row, 'n') : 0
    },
    nextAnnounced: () => list('1 ORDER BY next_try_ms, rowid LIMIT 1')[0],
    dropAnnounced: (owner: NodeId, id: string) =>
      void db.run('DELETE FROM payment_announced WHERE owner = ? AND id = ?', owner, id),
  }
}

function insert(db: Database, p: PaymentRecord): void {
  db.run(
    'INSERT INTO payment_payment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ...[p.owner, p.role, p.id, p.payerId, p.payeeId, p.payerAddr, p.payeeAddr, p.platform, `${p.amountWei}`],
    ...[p.timestampUs, p.recordedUs, p.confirmation, p.signature ?? null, p.signedBytes ?? null, p.recheckMs ?? null],
  )
  p.shares.forEach((share, position) => {
    db.run(
      'INSERT INTO payment_share VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[p.owner, p.role, p.id, position, share.agreementId, share.activityId ?? null],
      ...[share.allocationId ?? null, `${share.amountWei}`],
    )
  })
}

function fromRow(db: Database, row: Row): PaymentRecord {
  const key = [text(row, 'owner'), text(row, 'role'), text(row, 'id')]
  const shares = db.all(
    'SELECT * FROM payment_share WHERE owner = ? AND role = ? AND payment_id = ? ORDER BY position',
    ...key,
  )
  return {
    owner: node(row, 'owner'),
    role: role(row),
    id: text(row, 'id'),
    payerId: node(row, 'payer_id'),
    payeeId: node(row, 'payee_id'),
    payerAddr: node(row, 'payer_addr'),
    payeeAddr: node(row, 'payee_addr'),
    platform: text(row, 'platform'),
    amountWei: wei(row, 'amount_wei'),
    timestampUs: integer(row, 'timestamp_us'),
    recordedUs: integer(row, 'recorded_us'),
    shares: shares.map(shareFromRow),
    confirmation: blob(row, 'confirmation'),
    signature: maybeBlob(row, 'signature'),
    signedBytes: maybeBlob(row, 'signed_bytes'),
    recheckMs: maybeInteger(row, 'recheck_ms'),
  }
}

function shareFromRow(row: Row): PaymentShare {
  return {
    agreementId: text(row, 'agreement_id'),
    activityId: maybeText(row, 'activity_id'),
    allocationId: maybeText(row, 'allocation_id'),
    amountWei: wei(row, 'amount_wei'),
  }
}

function announcedFromRow(row: Row): AnnouncedPayment {
  return {
    owner: node(row, 'owner'),
    id: text(row, 'id'),
    peerId: node(row, 'peer_id'),
    signature: blob(row, 'signature'),
    signedBytes: blob(row, 'signed_bytes'),
    firstSeenMs: integer(row, 'first_seen_ms'),
    tries: integer(row, 'tries'),
    nextTryMs: integer(row, 'next_try_ms'),
  }
}
