import type { InstantUs, NodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { BatchOrder, Obligation, PaymentCycle, PaymentOrderRecord } from './records.ts'
import { integer, maybeInteger, maybeText, node, text, wei } from './store-rows.ts'

export interface OrderStore {
  addObligation(obligation: Omit<Obligation, 'id' | 'orderId'>): void
  /** Lets the agreement's (or only the activity's) obligations be paid, by `dueUs`. */
  makePayable(owner: NodeId, agreementId: string, activityId: string | undefined, dueUs: InstantUs | undefined): void
  /** What is accepted, payable, and not ordered. */
  payable(owner: NodeId, platform: string): Obligation[]
  /** Who has something payable, where, and the earliest due date among it. */
  payableKeys(): { owner: NodeId; platform: string; dueUs: InstantUs | undefined }[]
  /** Sum of what is accepted and not ordered, on an account. */
  unorderedWei(platform: string, payerAddr: NodeId): bigint
  obligationsOf(orderId: string): Obligation[]
  obligationsOfAgreement(owner: NodeId, agreementId: string): Obligation[]
  assign(obligationId: number, orderId: string): void
  insertBatch(batch: BatchOrder): void
  batch(owner: NodeId, id: string): BatchOrder | undefined
  batches(owner: NodeId): BatchOrder[]
  insertOrder(order: PaymentOrderRecord): void
  order(id: string): PaymentOrderRecord | undefined
  ordersOf(batchId: string): PaymentOrderRecord[]
  ordersOfAllocation(allocationId: string): PaymentOrderRecord[]
  unpaidOrders(): PaymentOrderRecord[]
  setPaid(orderId: string, paymentId: string, nowUs: InstantUs): void
  cycle(owner: NodeId, platform: string): PaymentCycle | undefined
  cycles(owner: NodeId): PaymentCycle[]
  saveCycle(cycle: PaymentCycle): void
}

export function createOrderStore(db: Database): OrderStore {
  return { ...obligationPart(db), ...orderPart(db), ...cyclePart(db) }
}

function obligationPart(db: Database) {
  const list = (where: string, ...parameters: string[]) =>
    db.all(`SELECT * FROM payment_obligation WHERE ${where} ORDER BY id`, ...parameters).map(obligationFromRow)
  return {
    addObligation: (o: Omit<Obligation, 'id' | 'orderId'>) => {
      db.run(
        'INSERT INTO payment_obligation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)',
        ...[o.owner, o.payeeId, o.payeeAddr, o.payerAddr, o.platform, o.agreementId, o.activityId ?? null],
        ...[o.allocationId, `${o.amountWei}`, o.isPayable ? 1 : 0, o.dueUs ?? null, o.createdUs],
      )
    },
    makePayable: (
      owner: NodeId,
      agreementId: string,
      activityId: string | undefined,
      dueUs: InstantUs | undefined,
    ): void => {
      db.run(
        `UPDATE payment_obligation SET is_payable = 1, due_us = ?
         WHERE agreement_id = ? AND owner = ? AND order_id IS NULL AND is_payable = 0 AND (? IS NULL OR activity_id = ?)`,
        ...[dueUs ?? null, agreementId, owner, activityId ?? null, activityId ?? null],
      )
    },
    payable: (owner: NodeId, platform: string) =>
      list('order_id IS NULL AND is_payable = 1 AND owner = ? AND platform = ?', owner, platform),
    payableKeys: () =>
      db
        .all(
          `SELECT owner, platform, MIN(due_us) AS due FROM payment_obligation
           WHERE order_id IS NULL AND is_payable = 1 GROUP BY owner, platform`,
        )
        .map((row) => ({
          owner: node(row, 'owner'),
          platform: text(row, 'platform'),
          dueUs: maybeInteger(row, 'due'),
        })),
    unorderedWei: (platform: string, payerAddr: NodeId) =>
      list('order_id IS NULL AND platform = ? AND payer_addr = ?', platform, payerAddr).reduce(
        (sum, { amountWei }) => sum + amountWei,
        0n,
      ),
    obligationsOf: (orderId: string) => list('order_id = ?', orderId),
    obligationsOfAgreement: (owner: NodeId, agreementId: string) =>
      list('owner = ? AND agreement_id = ?', owner, agreementId),
    assign: (id: number, orderId: string) =>
      void db.run('UPDATE payment_obligation SET order_id = ? WHERE id = ?', orderId, id),
  }
}

function orderPart(db: Database) {
  const list = (where: string, ...parameters: string[]) =>
    db.all(`SELECT * FROM payment_order WHERE ${where} ORDER BY rowid`, ...parameters).map(orderFromRow)
  return {
    insertBatch: (b: BatchOrder) => {
      db.run(
        'INSERT INTO payment_batch VALUES (?, ?, ?, ?, ?, ?, ?)',
        ...[b.id, b.owner, b.payerAddr, b.platform, `${b.totalWei}`, b.createdUs, b.updatedUs],
      )
    },
    batch: (owner: NodeId, id: string) =>
      db.all('SELECT * FROM payment_batch WHERE owner = ? AND id = ?', owner, id).map(batchFromRow)[0],
    batches: (owner: NodeId) =>
      db.all('SELECT * FROM payment_batch WHERE owner = ? ORDER BY rowid', owner).map(batchFromRow),
    insertOrder: (o: PaymentOrderRecord) => {
      db.run(
        'INSERT INTO payment_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[o.id, o.batchId, o.owner, o.payeeId, o.payeeAddr, o.payerAddr, o.platform, o.allocationId],
        ...[`${o.amountWei}`, o.dueUs, o.paymentId ?? null],
      )
    },
    order: (id: string) => list('id = ?', id)[0],
    ordersOf: (batchId: string) => list('batch_id = ?', batchId),
    ordersOfAllocation: (allocationId: string) => list('allocation_id = ?', allocationId),
    unpaidOrders: () => list('payment_id IS NULL'),
    setPaid: (orderId: string, paymentId: string, nowUs: InstantUs) => {
      db.run('UPDATE payment_order SET payment_id = ? WHERE id = ?', paymentId, orderId)
      db.run(
        'UPDATE payment_batch SET updated_us = ? WHERE id = (SELECT batch_id FROM payment_order WHERE id = ?)',
        ...[nowUs, orderId],
      )
    },
  }
}

function cyclePart(db: Database) {
  return {
    cycle: (owner: NodeId, platform: string) =>
      db.all('SELECT * FROM payment_cycle WHERE owner = ? AND platform = ?', owner, platform).map(cycleFromRow)[0],
    cycles: (owner: NodeId) =>
      db.all('SELECT * FROM payment_cycle WHERE owner = ? ORDER BY platform', owner).map(cycleFromRow),
    saveCycle: (c: PaymentCycle) => {
      db.run(
        'INSERT OR REPLACE INTO payment_cycle VALUES (?, ?, ?, ?, ?, ?, ?)',
        ...[c.owner, c.platform, c.intervalMs ?? null, c.cron ?? null, c.extraPayTimeMs, c.nextMs, c.lastMs ?? null],
      )
    },
  }
}

function obligationFromRow(row: Row): Obligation {
  return {
    id: integer(row, 'id'),
    owner: node(row, 'owner'),
    payeeId: node(row, 'payee_id'),
    payeeAddr: node(row, 'payee_addr'),
    payerAddr: node(row, 'payer_addr'),
    platform: text(row, 'platform'),
    agreementId: text(row, 'agreement_id'),
    activityId: maybeText(row, 'activity_id'),
    allocationId: text(row, 'allocation_id'),
    amountWei: wei(row, 'amount_wei'),
    isPayable: integer(row, 'is_payable') === 1,
    dueUs: maybeInteger(row, 'due_us'),
    orderId: maybeText(row, 'order_id'),
    createdUs: integer(row, 'created_us'),
  }
}

function batchFromRow(row: Row): BatchOrder {
  return {
    id: text(row, 'id'),
    owner: node(row, 'owner'),
    payerAddr: node(row, 'payer_addr'),
    platform: text(row, 'platform'),
    totalWei: wei(row, 'total_wei'),
    createdUs: integer(row, 'created_us'),
    updatedUs: integer(row, 'updated_us'),
  }
}

function orderFromRow(row: Row): PaymentOrderRecord {
  return {
    id: text(row, 'id'),
    batchId: text(row, 'batch_id'),
    owner: node(row, 'owner'),
    payeeId: node(row, 'payee_id'),
    payeeAddr: node(row, 'payee_addr'),
    payerAddr: node(row, 'payer_addr'),
    platform: text(row, 'platform'),
    allocationId: text(row, 'allocation_id'),
    amountWei: wei(row, 'amount_wei'),
    dueUs: integer(row, 'due_us'),
    paymentId: maybeText(row, 'payment_id'),
  }
}

function cycleFromRow(row: Row): PaymentCycle {
  return {
    owner: node(row, 'owner'),
    platform: text(row, 'platform'),
    intervalMs: maybeInteger(row, 'interval_ms'),
    cron: maybeText(row, 'cron'),
    extraPayTimeMs: integer(row, 'extra_pay_time_ms'),
    nextMs: integer(row, 'next_ms'),
    lastMs: maybeInteger(row, 'last_ms'),
  }
}
