/**
 * The payment module's tables. Amounts are decimal texts of the smallest unit (SQLite's integers are too small), so
 * sums are made in code; every change that belongs together runs in one `transaction`. Rows live until
 * `cleanUp` (see `options.ts`, retention); sums of agreements and activities live for ever.
 */
import type { Database } from '../store/index.ts'
import { type AllocationStore, createAllocationStore } from './store-allocations.ts'
import { createDocumentStore, type DocumentStore } from './store-documents.ts'
import { createEventStore, type EventStore } from './store-events.ts'
import { createOrderStore, type OrderStore } from './store-orders.ts'
import { createOutboxStore, type OutboxStore } from './store-outbox.ts'
import { createPaymentRecordStore, type PaymentRecordStore } from './store-payments.ts'
import { createTotalsStore, type TotalsStore } from './store-totals.ts'

export type PaymentStore = {
  readonly allocations: AllocationStore
  readonly documents: DocumentStore
  readonly totals: TotalsStore
  readonly orders: OrderStore
  readonly payments: PaymentRecordStore
  readonly events: EventStore
  readonly outbox: OutboxStore
  /** All of `work` or nothing; may be nested. */
  transaction<T>(work: () => T): T
}

const MIGRATIONS = [
  `CREATE TABLE payment_allocation (
     id TEXT PRIMARY KEY, owner TEXT NOT NULL, address TEXT NOT NULL, platform TEXT NOT NULL,
     total_wei TEXT NOT NULL, spent_wei TEXT NOT NULL, timeout_us INTEGER NOT NULL,
     created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, is_released INTEGER NOT NULL,
     deposit TEXT, extend_timeout_sec INTEGER
   ) STRICT;
   CREATE INDEX payment_allocation_active ON payment_allocation (platform, address) WHERE is_released = 0;
   CREATE INDEX payment_allocation_timeout ON payment_allocation (timeout_us) WHERE is_released = 0;
   CREATE TABLE payment_expenditure (
     allocation_id TEXT NOT NULL, agreement_id TEXT NOT NULL, activity_id TEXT NOT NULL,
     accepted_wei TEXT NOT NULL, scheduled_wei TEXT NOT NULL,
     PRIMARY KEY (allocation_id, agreement_id, activity_id)
   ) STRICT;

   CREATE TABLE payment_document (
     owner TEXT NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, agreement_id TEXT NOT NULL,
     activity_id TEXT, activity_ids TEXT NOT NULL, previous_id TEXT, issuer_id TEXT NOT NULL,
     recipient_id TEXT NOT NULL, payee_addr TEXT NOT NULL, payer_addr TEXT NOT NULL, platform TEXT NOT NULL,
     amount_wei TEXT NOT NULL, usage TEXT, due_us INTEGER, timestamp_us INTEGER NOT NULL,
     status TEXT NOT NULL, updated_us INTEGER NOT NULL,
     PRIMARY KEY (owner, role, id)
   ) STRICT;
   CREATE INDEX payment_document_agreement ON payment_document (agreement_id, owner, role, kind, timestamp_us);
   CREATE INDEX payment_document_time ON payment_document (owner, kind, timestamp_us);
   CREATE INDEX payment_document_status ON payment_document (status, updated_us);

   CREATE TABLE payment_agreement (
     owner TEXT NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL, peer_id TEXT NOT NULL, payee_addr TEXT NOT NULL,
     payer_addr TEXT NOT NULL, platform TEXT NOT NULL, app_session_id TEXT,
     due_wei TEXT NOT NULL, accepted_wei TEXT NOT NULL, scheduled_wei TEXT NOT NULL, paid_wei TEXT NOT NULL,
     created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,
     PRIMARY KEY (owner, role, id)
   ) STRICT;
   CREATE TABLE payment_activity (
     owner TEXT NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL, agreement_id TEXT NOT NULL,
     due_wei TEXT NOT NULL, accepted_wei TEXT NOT NULL, scheduled_wei TEXT NOT NULL, paid_wei TEXT NOT NULL,
     created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,
     PRIMARY KEY (owner, role, id)
   ) STRICT;
   CREATE INDEX payment_activity_agreement ON payment_activity (agreement_id, owner, role);

   CREATE TABLE payment_obligation (
     id INTEGER PRIMARY KEY, owner TEXT NOT NULL, payee_id TEXT NOT NULL, payee_addr TEXT NOT NULL,
     payer_addr TEXT NOT NULL, platform TEXT NOT NULL, agreement_id TEXT NOT NULL, activity_id TEXT,
     allocation_id TEXT NOT NULL, amount_wei TEXT NOT NULL, is_payable INTEGER NOT NULL, due_us INTEGER,
     order_id TEXT, created_us INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX payment_obligation_open ON payment_obligation (owner, platform) WHERE order_id IS NULL;
   CREATE INDEX payment_obligation_agreement ON payment_obligation (agreement_id, owner);
   CREATE INDEX payment_obligation_order ON payment_obligation (order_id);
   CREATE TABLE payment_batch (
     id TEXT PRIMARY KEY, owner TEXT NOT NULL, payer_addr TEXT NOT NULL, platform TEXT NOT NULL,
     total_wei TEXT NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE payment_order (
     id TEXT PRIMARY KEY, batch_id TEXT NOT NULL, owner TEXT NOT NULL, payee_id TEXT NOT NULL, payee_addr TEXT NOT NULL,
     payer_addr TEXT NOT NULL, platform TEXT NOT NULL, allocation_id TEXT NOT NULL, amount_wei TEXT NOT NULL,
     due_us INTEGER NOT NULL, payment_id TEXT
   ) STRICT;
   CREATE INDEX payment_order_batch ON payment_order (batch_id);
   CREATE INDEX payment_order_unpaid ON payment_order (platform, payer_addr) WHERE payment_id IS NULL;
   CREATE TABLE payment_cycle (
     owner TEXT NOT NULL, platform TEXT NOT NULL, interval_ms INTEGER, cron TEXT, extra_pay_time_ms INTEGER NOT NULL,
     next_ms INTEGER NOT NULL, last_ms INTEGER,
     PRIMARY KEY (owner, platform)
   ) STRICT;

   CREATE TABLE payment_payment (
     owner TEXT NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL, payer_id TEXT NOT NULL, payee_id TEXT NOT NULL,
     payer_addr TEXT NOT NULL, payee_addr TEXT NOT NULL, platform TEXT NOT NULL, amount_wei TEXT NOT NULL,
     timestamp_us INTEGER NOT NULL, recorded_us INTEGER NOT NULL UNIQUE, confirmation BLOB NOT NULL,
     signature BLOB, signed_bytes BLOB, recheck_ms INTEGER,
     PRIMARY KEY (owner, role, id)
   ) STRICT;
   CREATE INDEX payment_payment_recheck ON payment_payment (recheck_ms) WHERE recheck_ms IS NOT NULL;
   CREATE TABLE payment_share (
     owner TEXT NOT NULL, role TEXT NOT NULL, payment_id TEXT NOT NULL, position INTEGER NOT NULL,
     agreement_id TEXT NOT NULL, activity_id TEXT, allocation_id TEXT, amount_wei TEXT NOT NULL,
     PRIMARY KEY (owner, role, payment_id, position)
   ) STRICT;
   CREATE INDEX payment_share_agreement ON payment_share (agreement_id, owner);
   CREATE TABLE payment_announced (
     owner TEXT NOT NULL, id TEXT NOT NULL, peer_id TEXT NOT NULL, signature BLOB NOT NULL, signed_bytes BLOB NOT NULL,
     first_seen_ms INTEGER NOT NULL, tries INTEGER NOT NULL, next_try_ms INTEGER NOT NULL,
     PRIMARY KEY (owner, id)
   ) STRICT;

   CREATE TABLE payment_event (
     at_us INTEGER PRIMARY KEY, owner TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, document_id TEXT NOT NULL,
     type TEXT NOT NULL, app_session_id TEXT, details TEXT
   ) STRICT;
   CREATE INDEX payment_event_owner ON payment_event (owner, kind, at_us);
   CREATE TABLE payment_outbox (
     id INTEGER PRIMARY KEY, owner TEXT NOT NULL, peer_id TEXT NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL,
     details TEXT, UNIQUE (owner, kind, ref)
   ) STRICT;
   CREATE INDEX payment_outbox_peer ON payment_outbox (owner, peer_id);
   CREATE TABLE payment_sync (
     owner TEXT NOT NULL, peer_id TEXT NOT NULL, tries INTEGER NOT NULL, next_ms INTEGER,
     PRIMARY KEY (owner, peer_id)
   ) STRICT;`,
]

/** Opens the tables, creating what is missing of them. */
export function createPaymentStore(db: Database): PaymentStore {
  db.migrate('payment', MIGRATIONS)
  return {
    allocations: createAllocationStore(db),
    documents: createDocumentStore(db),
    totals: createTotalsStore(db),
    orders: createOrderStore(db),
    payments: createPaymentRecordStore(db),
    events: createEventStore(db),
    outbox: createOutboxStore(db),
    transaction: (work) => db.transaction(work),
  }
}
