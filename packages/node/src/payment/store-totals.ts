import type { InstantUs, NodeId, Role } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { ActivityTotals, AgreementTotals, Sums } from './records.ts'
import { integer, maybeText, node, role, text, wei } from './store-rows.ts'

export interface TotalsStore {
  /** Does nothing when it is there. */
  insertAgreement(agreement: AgreementTotals): void
  insertActivity(activity: ActivityTotals): void
  agreement(owner: NodeId, role: Role, id: string): AgreementTotals | undefined
  activity(owner: NodeId, role: Role, id: string): ActivityTotals | undefined
  agreements(owner: NodeId): AgreementTotals[]
  activities(owner: NodeId): ActivityTotals[]
  activitiesOf(owner: NodeId, role: Role, agreementId: string): ActivityTotals[]
  /** Writes the sums. */
  updateAgreement(agreement: AgreementTotals, nowUs: InstantUs): void
  updateActivity(activity: ActivityTotals, nowUs: InstantUs): void
}

export function createTotalsStore(db: Database): TotalsStore {
  const agreements = (where: string, ...parameters: string[]) =>
    db
      .all(`SELECT * FROM payment_agreement WHERE ${where} ORDER BY created_us, rowid`, ...parameters)
      .map(agreementFromRow)
  const activities = (where: string, ...parameters: string[]) =>
    db
      .all(`SELECT * FROM payment_activity WHERE ${where} ORDER BY created_us, rowid`, ...parameters)
      .map(activityFromRow)
  const updateSums = (table: 'payment_agreement' | 'payment_activity') =>
    `UPDATE ${table} SET due_wei = ?, accepted_wei = ?, scheduled_wei = ?, paid_wei = ?, updated_us = ?
     WHERE owner = ? AND role = ? AND id = ?`
  return {
    insertAgreement: (a) => {
      db.run(
        'INSERT OR IGNORE INTO payment_agreement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[a.owner, a.role, a.agreementId, a.peerId, a.payeeAddr, a.payerAddr, a.platform, a.appSessionId ?? null],
        ...[...sums(a), a.createdUs, a.updatedUs],
      )
    },
    insertActivity: (a) => {
      db.run(
        'INSERT OR IGNORE INTO payment_activity VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[a.owner, a.role, a.activityId, a.agreementId, ...sums(a), a.createdUs, a.updatedUs],
      )
    },
    agreement: (owner, role, id) => agreements('owner = ? AND role = ? AND id = ?', owner, role, id)[0],
    activity: (owner, role, id) => activities('owner = ? AND role = ? AND id = ?', owner, role, id)[0],
    agreements: (owner) => agreements('owner = ?', owner),
    activities: (owner) => activities('owner = ?', owner),
    activitiesOf: (owner, role, id) => activities('owner = ? AND role = ? AND agreement_id = ?', owner, role, id),
    updateAgreement: (a, nowUs) =>
      void db.run(updateSums('payment_agreement'), ...sums(a), nowUs, a.owner, a.role, a.agreementId),
    updateActivity: (a, nowUs) =>
      void db.run(updateSums('payment_activity'), ...sums(a), nowUs, a.owner, a.role, a.activityId),
  }
}

const sums = (s: Sums): string[] => [`${s.dueWei}`, `${s.acceptedWei}`, `${s.scheduledWei}`, `${s.paidWei}`]

function sumsFromRow(row: Row): Sums {
  return {
    dueWei: wei(row, 'due_wei'),
    acceptedWei: wei(row, 'accepted_wei'),
    scheduledWei: wei(row, 'scheduled_wei'),
    paidWei: wei(row, 'paid_wei'),
  }
}

function agreementFromRow(row: Row): AgreementTotals {
  return {
    ...sumsFromRow(row),
    owner: node(row, 'owner'),
    role: role(row),
    agreementId: text(row, 'id'),
    peerId: node(row, 'peer_id'),
    payeeAddr: node(row, 'payee_addr'),
    payerAddr: node(row, 'payer_addr'),
    platform: text(row, 'platform'),
    appSessionId: maybeText(row, 'app_session_id'),
    createdUs: integer(row, 'created_us'),
    updatedUs: integer(row, 'updated_us'),
  }
}

function activityFromRow(row: Row): ActivityTotals {
  return {
    ...sumsFromRow(row),
    owner: node(row, 'owner'),
    role: role(row),
    activityId: text(row, 'id'),
    agreementId: text(row, 'agreement_id'),
    createdUs: integer(row, 'created_us'),
    updatedUs: integer(row, 'updated_us'),
  }
}
