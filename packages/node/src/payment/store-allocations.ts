import type { Deposit, InstantUs, NodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { AllocationRecord, Expenditure } from './records.ts'
import { integer, json, limitOf, maybeInteger, maybeText, node, text, toJson, wei } from './store-rows.ts'

export interface AllocationStore {
  insert(allocation: AllocationRecord): void
  /** Also released ones. */
  get(owner: NodeId, id: string): AllocationRecord | undefined
  /** Writes total, spent, timeout, release and update time. */
  update(allocation: AllocationRecord): void
  /** The owner's unreleased ones, the longest unchanged first; only those that time out after `timeoutAfterUs`. */
  active(owner: NodeId, timeoutAfterUs?: InstantUs, max?: number): AllocationRecord[]
  /** Unreleased ones that draw on the account, whoever owns them. */
  activeOn(platform: string, address: NodeId): AllocationRecord[]
  /** Unreleased ones whose time is up. */
  overdue(nowUs: InstantUs): AllocationRecord[]
  /** When the next unreleased one times out. */
  nextTimeoutUs(): InstantUs | undefined
  /** The allocation (even released) that used the deposit first. */
  byDeposit(deposit: Deposit): AllocationRecord | undefined
  expenditures(allocationId: string): Expenditure[]
  addExpenditure(change: Expenditure): void
}

export function createAllocationStore(db: Database): AllocationStore {
  const list = (sql: string, ...parameters: (string | number)[]) => db.all(sql, ...parameters).map(fromRow)
  return {
    insert: (a) => {
      db.run(
        'INSERT INTO payment_allocation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[a.id, a.owner, a.address, a.platform, `${a.totalWei}`, `${a.spentWei}`, a.timeoutUs, a.createdUs],
        ...[a.updatedUs, a.isReleased ? 1 : 0, toJson(a.deposit), a.extendTimeoutSec ?? null],
      )
    },
    get: (owner, id) => list('SELECT * FROM payment_allocation WHERE id = ? AND owner = ?', id, owner)[0],
    update: (a) => {
      db.run(
        `UPDATE payment_allocation SET total_wei = ?, spent_wei = ?, timeout_us = ?, is_released = ?, updated_us = ?
         WHERE id = ?`,
        ...[`${a.totalWei}`, `${a.spentWei}`, a.timeoutUs, a.isReleased ? 1 : 0, a.updatedUs, a.id],
      )
    },
    active: (owner, timeoutAfterUs, max) =>
      list(
        `SELECT * FROM payment_allocation WHERE is_released = 0 AND owner = ? AND timeout_us > ?
         ORDER BY updated_us, rowid LIMIT ?`,
        ...[owner, timeoutAfterUs ?? 0, limitOf(max)],
      ),
    activeOn: (platform, address) =>
      list(
        'SELECT * FROM payment_allocation WHERE is_released = 0 AND platform = ? AND address = ?',
        ...[platform, address],
      ),
    overdue: (nowUs) => list('SELECT * FROM payment_allocation WHERE is_released = 0 AND timeout_us <= ?', nowUs),
    nextTimeoutUs: () => {
      const row = db.get('SELECT MIN(timeout_us) AS next FROM payment_allocation WHERE is_released = 0')
      return row && maybeInteger(row, 'next')
    },
    byDeposit: ({ id, contract }) =>
      list(
        `SELECT * FROM payment_allocation WHERE deposit ->> 'id' = ? AND deposit ->> 'contract' = ? LIMIT 1`,
        ...[id, contract],
      )[0],
    expenditures: (id) =>
      db.all('SELECT * FROM payment_expenditure WHERE allocation_id = ? ORDER BY rowid', id).map(expenditureFromRow),
    addExpenditure: (change) => addExpenditure(db, change),
  }
}

function addExpenditure(db: Database, change: Expenditure): void {
  const key = [change.allocationId, change.agreementId, change.activityId ?? ''] as const
  const where = 'WHERE allocation_id = ? AND agreement_id = ? AND activity_id = ?'
  const row = db.get(`SELECT * FROM payment_expenditure ${where}`, ...key)
  const accepted = (row ? wei(row, 'accepted_wei') : 0n) + change.acceptedWei
  const scheduled = (row ? wei(row, 'scheduled_wei') : 0n) + change.scheduledWei
  db.run(
    `INSERT INTO payment_expenditure VALUES (?, ?, ?, ?, ?) ON CONFLICT
     DO UPDATE SET accepted_wei = excluded.accepted_wei, scheduled_wei = excluded.scheduled_wei`,
    ...[...key, `${accepted}`, `${scheduled}`],
  )
}

function fromRow(row: Row): AllocationRecord {
  return {
    id: text(row, 'id'),
    owner: node(row, 'owner'),
    address: node(row, 'address'),
    platform: text(row, 'platform'),
    totalWei: wei(row, 'total_wei'),
    spentWei: wei(row, 'spent_wei'),
    timeoutUs: integer(row, 'timeout_us'),
    createdUs: integer(row, 'created_us'),
    updatedUs: integer(row, 'updated_us'),
    isReleased: integer(row, 'is_released') === 1,
    deposit: json(row, 'deposit') as Deposit | undefined,
    extendTimeoutSec: maybeInteger(row, 'extend_timeout_sec'),
  }
}

function expenditureFromRow(row: Row): Expenditure {
  return {
    allocationId: text(row, 'allocation_id'),
    agreementId: text(row, 'agreement_id'),
    activityId: maybeText(row, 'activity_id') || undefined,
    acceptedWei: wei(row, 'accepted_wei'),
    scheduledWei: wei(row, 'scheduled_wei'),
  }
}
