/** What the `erc20` driver writes down. Amounts are decimal text: SQLite's integers are too short for them. */
import type { NodeId } from '@emet/core'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { Database, Row } from '../../../store/index.ts'
import type { Hex } from '../../chain/index.ts'
import type { PaymentOrder, Settlement } from '../types.ts'
import {
  type Attempt,
  attemptsOf,
  type Inclusion,
  type Item,
  isVoid,
  type Purpose,
  type Transaction,
  type TransactionKind,
  type TransactionState,
} from './transaction.ts'

const MIGRATIONS = [
  `CREATE TABLE erc20_transaction (
     id INTEGER PRIMARY KEY,
     chain_id INTEGER NOT NULL,
     network TEXT NOT NULL,
     sender TEXT NOT NULL,
     purpose TEXT NOT NULL CHECK (purpose IN ('pay', 'approve', 'mint')),
     platform TEXT NOT NULL,
     recipient TEXT NOT NULL,
     call_data TEXT NOT NULL,
     gas_limit TEXT NOT NULL,
     nonce INTEGER NOT NULL,
     state TEXT NOT NULL CHECK (state IN
       ('assigned', 'signed', 'broadcast', 'mined', 'final', 'sealed', 'failed', 'replaced')),
     mined_hash TEXT, block_number INTEGER, block_hash TEXT, is_success INTEGER, fee TEXT
   ) STRICT;
   CREATE INDEX erc20_transaction_open ON erc20_transaction (chain_id, sender)
     WHERE state NOT IN ('sealed', 'failed', 'replaced');
   CREATE TABLE erc20_attempt (
     transaction_id INTEGER NOT NULL REFERENCES erc20_transaction (id),
     number INTEGER NOT NULL,
     hash TEXT NOT NULL UNIQUE,
     raw TEXT NOT NULL,
     max_fee TEXT NOT NULL,
     priority_fee TEXT NOT NULL,
     signed_ms INTEGER NOT NULL,
     PRIMARY KEY (transaction_id, number)
   ) STRICT;
   CREATE TABLE erc20_transfer (
     transaction_id INTEGER NOT NULL REFERENCES erc20_transaction (id),
     position INTEGER NOT NULL,
     payee TEXT NOT NULL,
     amount TEXT NOT NULL,
     log_index INTEGER,
     is_told INTEGER NOT NULL DEFAULT 0,
     PRIMARY KEY (transaction_id, position)
   ) STRICT;
   CREATE INDEX erc20_transfer_untold ON erc20_transfer (transaction_id) WHERE is_told = 0;
   CREATE TABLE erc20_order (
     id TEXT PRIMARY KEY,
     payer TEXT NOT NULL,
     payee TEXT NOT NULL,
     platform TEXT NOT NULL,
     amount TEXT NOT NULL,
     due_ms INTEGER NOT NULL,
     created_ms INTEGER NOT NULL,
     transaction_id INTEGER REFERENCES erc20_transaction (id),
     position INTEGER
   ) STRICT;
   CREATE INDEX erc20_order_queued ON erc20_order (payer, platform, due_ms) WHERE transaction_id IS NULL;
   CREATE INDEX erc20_order_transfer ON erc20_order (transaction_id, position);
   CREATE TABLE erc20_claim (
     payment_id TEXT PRIMARY KEY,
     chain_id INTEGER NOT NULL,
     transaction_hash TEXT NOT NULL,
     log_index INTEGER NOT NULL,
     token TEXT NOT NULL,
     payer TEXT NOT NULL,
     payee TEXT NOT NULL,
     amount TEXT NOT NULL
   ) STRICT;
   CREATE INDEX erc20_claim_transfer ON erc20_claim (transaction_hash, chain_id)`,
]

export type QueuedOrder = PaymentOrder & { readonly createdMs: number }

export type NewTransaction = Omit<Transaction, 'id' | 'state' | 'items'> & {
  readonly items: readonly (Item & { readonly paymentOrderIds: readonly string[] })[]
}

/** A part of a received transfer that a payment stands for. */
export type StoredClaim = {
  readonly paymentId: string
  readonly chainId: number
  readonly transactionHash: string
  readonly logIndex: number
  readonly token: string
  readonly payer: string
  readonly payee: string
  readonly amountWei: bigint
}

export interface Erc20Store {
  insertOrder(order: PaymentOrder, nowMs: number): void
  order(
    paymentOrderId: string,
  ): (QueuedOrder & { readonly transactionId?: number; readonly position?: number }) | undefined
  /** Orders tied to no transaction, soonest due first. */
  queued(payer: string, platform: string, limit: number): QueuedOrder[]
  /** Makes queued orders due now. */
  hasten(platform: string | undefined, nowMs: number): void
  /** The sum of the payer's orders that the chain's balance does not reflect yet. */
  scheduledWei(payer: string, platform: string): bigint
  /** Payer and platform of everything unfinished, to resume after a start. */
  unfinished(): { payer: string; platform: string }[]

  /** Writes a new transaction and ties its orders to it: all or nothing. */
  assign(transaction: NewTransaction): Transaction
  /** Writes the new state. Unties the orders of a transaction that paid nobody. */
  save(transaction: Transaction): void
  transaction(id: number): Transaction | undefined
  /** Those that may still change, in the order of their nonces. */
  open(chainId: number, sender: string): Transaction[]

  /** Transfers deep enough to be told, and not told yet. `told` marks one. */
  untold(): { settlement: Settlement; told: () => void }[]
  settlement(transactionId: number, position: number): Settlement | undefined

  claim(paymentId: string): StoredClaim | undefined
  claimsOn(chainId: number, transactionHash: string): StoredClaim[]
  insertClaim(claim: StoredClaim): void
  deleteClaim(paymentId: string): void
  transact<T>(work: () => T): T
}

/** At one start, or after a long time without listeners. The rest follows when these are told. */
const UNTOLD_MAX = 1_000

export function createErc20Store(db: Database): Erc20Store {
  db.migrate('payment-erc20', MIGRATIONS)
  return { ...orderQueries(db), ...transactionQueries(db), ...settlementQueries(db), ...claimQueries(db) }
}

type OrderQueries = 'insertOrder' | 'order' | 'queued' | 'hasten' | 'scheduledWei' | 'unfinished'

function orderQueries(db: Database): Pick<Erc20Store, OrderQueries> {
  const insert = `INSERT INTO erc20_order (id, payer, payee, platform, amount, due_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`
  const queued = `SELECT * FROM erc20_order WHERE transaction_id IS NULL AND payer = ? AND platform = ?
    ORDER BY due_ms, rowid LIMIT ?`
  const scheduled = `SELECT o.amount FROM erc20_order o LEFT JOIN erc20_transaction t ON t.id = o.transaction_id
    WHERE o.payer = ? AND o.platform = ? AND (t.id IS NULL OR t.state IN ('assigned', 'signed', 'broadcast'))`
  const unfinished = `SELECT DISTINCT payer, platform FROM erc20_order WHERE transaction_id IS NULL
    UNION SELECT sender AS payer, platform FROM erc20_transaction WHERE state NOT IN ('sealed', 'failed', 'replaced')`
  return {
    insertOrder: (o, nowMs) =>
      void db.run(
        insert,
        o.paymentOrderId,
        o.payer,
        o.payee,
        o.platform,
        String(o.amountWei),
        Math.round(o.dueMs),
        nowMs,
      ),
    order: (id) => {
      const row = db.get('SELECT * FROM erc20_order WHERE id = ?', id)
      if (!row) return undefined
      const { transaction_id: transactionId, position } = row
      const isTied = transactionId !== null && position !== null
      return { ...toOrder(row), ...(isTied && { transactionId: Number(transactionId), position: Number(position) }) }
    },
    queued: (payer, platform, limit) => db.all(queued, payer, platform, limit).map(toOrder),
    hasten: (platform, nowMs) => {
      const where = 'transaction_id IS NULL AND due_ms > ?1'
      if (platform === undefined) db.run(`UPDATE erc20_order SET due_ms = ?1 WHERE ${where}`, nowMs)
      else db.run(`UPDATE erc20_order SET due_ms = ?1 WHERE ${where} AND platform = ?2`, nowMs, platform)
    },
    scheduledWei: (payer, platform) =>
      db.all(scheduled, payer, platform).reduce((sum, row) => sum + BigInt(String(row['amount'])), 0n),
    unfinished: () =>
      db.all(unfinished).map((row) => ({ payer: String(row['payer']), platform: String(row['platform']) })),
  }
}

function transactionQueries(db: Database): Pick<Erc20Store, 'assign' | 'save' | 'transaction' | 'open'> {
  const insert = `INSERT INTO erc20_transaction
    (chain_id, network, sender, purpose, platform, recipient, call_data, gas_limit, nonce, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'assigned') RETURNING id`
  const insertItem = 'INSERT INTO erc20_transfer (transaction_id, position, payee, amount) VALUES (?, ?, ?, ?)'
  const tie = 'UPDATE erc20_order SET transaction_id = ?, position = ? WHERE id = ? AND transaction_id IS NULL'
  const update = `UPDATE erc20_transaction SET nonce = ?, state = ?, mined_hash = ?, block_number = ?, block_hash = ?,
    is_success = ?, fee = ? WHERE id = ?`
  const insertAttempt = 'INSERT OR IGNORE INTO erc20_attempt VALUES (?, ?, ?, ?, ?, ?, ?)'
  const open = `SELECT * FROM erc20_transaction WHERE chain_id = ? AND sender = ?
    AND state NOT IN ('sealed', 'failed', 'replaced') ORDER BY nonce, id`

  const assign = (t: NewTransaction): Transaction => {
    const values = [t.chainId, t.network, t.sender, t.purpose, t.platform, t.to, t.data, String(t.gasLimit), t.nonce]
    const id = Number(db.get(insert, ...values)?.['id'])
    t.items.forEach(({ payee, amountWei, paymentOrderIds }, position) => {
      db.run(insertItem, id, position, payee, String(amountWei))
      for (const orderId of paymentOrderIds) {
        if (db.run(tie, id, position, orderId) !== 1) throw new Error(`order ${orderId} is in another transaction`)
      }
    })
    const items = t.items.map(({ payee, amountWei }) => ({ payee, amountWei }))
    return { ...t, items, id, state: { kind: 'assigned' } }
  }
  const save = (t: Transaction): void => {
    const inclusion = inclusionOf(t.state)
    const { hash = null, blockNumber = null, blockHash = null, feeWei = null } = inclusion ?? {}
    const isSuccess = inclusion ? Number(inclusion.isSuccess) : null
    const fee = feeWei === null ? null : String(feeWei)
    db.run(update, t.nonce, t.state.kind, hash, blockNumber, blockHash, isSuccess, fee, t.id)
    attemptsOf(t.state).forEach((a, number) => {
      db.run(insertAttempt, t.id, number, a.hash, a.raw, String(a.maxFeeWei), String(a.priorityFeeWei), a.signedMs)
    })
    if (t.state.kind === 'broadcast') db.run('UPDATE erc20_transfer SET is_told = 0 WHERE transaction_id = ?', t.id)
    inclusion?.logIndexes.forEach((logIndex, position) => {
      db.run(
        'UPDATE erc20_transfer SET log_index = ? WHERE transaction_id = ? AND position = ?',
        logIndex,
        t.id,
        position,
      )
    })
    if (isVoid(t))
      db.run('UPDATE erc20_order SET transaction_id = NULL, position = NULL WHERE transaction_id = ?', t.id)
  }
  const load = (row: Row): Transaction => toTransaction(db, row)
  return {
    assign: (transaction) => db.transaction(() => assign(transaction)),
    save: (transaction) => db.transaction(() => save(transaction)),
    transaction: (id) => {
      const row = db.get('SELECT * FROM erc20_transaction WHERE id = ?', id)
      return row && load(row)
    },
    open: (chainId, sender) => db.all(open, chainId, sender).map(load),
  }
}

function settlementQueries(db: Database): Pick<Erc20Store, 'untold' | 'settlement'> {
  const columns = `SELECT f.transaction_id, f.position, f.payee, f.amount, f.log_index, t.sender, t.platform, t.mined_hash,
      t.block_number, t.block_hash, t.fee,
      (SELECT count(*) FROM erc20_transfer s WHERE s.transaction_id = t.id) AS parts
    FROM erc20_transfer f JOIN erc20_transaction t ON t.id = f.transaction_id
    WHERE t.state IN ('final', 'sealed') AND t.purpose = 'pay'`
  const ids = 'SELECT id FROM erc20_order WHERE transaction_id = ? AND position = ? ORDER BY rowid'
  const told = 'UPDATE erc20_transfer SET is_told = 1 WHERE transaction_id = ? AND position = ?'
  const read = (row: Row): Settlement => ({
    paymentOrderIds: db
      .all(ids, Number(row['transaction_id']), Number(row['position']))
      .map((order) => String(order['id'])),
    platform: String(row['platform']),
    payer: row['sender'] as NodeId,
    payee: row['payee'] as NodeId,
    amountWei: BigInt(String(row['amount'])),
    confirmation: hexToBytes(String(row['mined_hash']).slice(2)),
    logIndex: Number(row['log_index']),
    blockNumber: Number(row['block_number']),
    blockHash: String(row['block_hash']),
    feeWei: BigInt(String(row['fee'])) / BigInt(String(row['parts'])),
  })
  return {
    untold: () =>
      db.all(`${columns} AND f.is_told = 0 ORDER BY f.transaction_id, f.position LIMIT ?`, UNTOLD_MAX).map((row) => ({
        settlement: read(row),
        told: () => void db.run(told, Number(row['transaction_id']), Number(row['position'])),
      })),
    settlement: (transactionId, position) => {
      const row = db.get(`${columns} AND f.transaction_id = ? AND f.position = ?`, transactionId, position)
      return row && read(row)
    },
  }
}

type ClaimQueries = 'claim' | 'claimsOn' | 'insertClaim' | 'deleteClaim' | 'transact'

function claimQueries(db: Database): Pick<Erc20Store, ClaimQueries> {
  const insert = `INSERT INTO erc20_claim
    (payment_id, chain_id, transaction_hash, log_index, token, payer, payee, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
  const on = 'SELECT * FROM erc20_claim WHERE transaction_hash = ? AND chain_id = ?'
  return {
    claim: (paymentId) => {
      const row = db.get('SELECT * FROM erc20_claim WHERE payment_id = ?', paymentId)
      return row && toClaim(row)
    },
    claimsOn: (chainId, transactionHash) => db.all(on, transactionHash, chainId).map(toClaim),
    insertClaim: (c) => {
      const values = [c.paymentId, c.chainId, c.transactionHash, c.logIndex, c.token, c.payer, c.payee]
      db.run(insert, ...values, String(c.amountWei))
    },
    deleteClaim: (paymentId) => void db.run('DELETE FROM erc20_claim WHERE payment_id = ?', paymentId),
    transact: (work) => db.transaction(work),
  }
}

const inclusionOf = (state: TransactionState): Inclusion | undefined =>
  'inclusion' in state ? state.inclusion : undefined

function toOrder(row: Row): QueuedOrder {
  return {
    paymentOrderId: String(row['id']),
    payer: row['payer'] as NodeId,
    payee: row['payee'] as NodeId,
    platform: String(row['platform']),
    amountWei: BigInt(String(row['amount'])),
    dueMs: Number(row['due_ms']),
    createdMs: Number(row['created_ms']),
  }
}

function toClaim(row: Row): StoredClaim {
  return {
    paymentId: String(row['payment_id']),
    chainId: Number(row['chain_id']),
    transactionHash: String(row['transaction_hash']),
    logIndex: Number(row['log_index']),
    token: String(row['token']),
    payer: String(row['payer']),
    payee: String(row['payee']),
    amountWei: BigInt(String(row['amount'])),
  }
}

function toTransaction(db: Database, row: Row): Transaction {
  const id = Number(row['id'])
  const attempts = db.all('SELECT * FROM erc20_attempt WHERE transaction_id = ? ORDER BY number', id).map(
    (attempt): Attempt => ({
      hash: attempt['hash'] as Hex,
      raw: attempt['raw'] as Hex,
      maxFeeWei: BigInt(String(attempt['max_fee'])),
      priorityFeeWei: BigInt(String(attempt['priority_fee'])),
      signedMs: Number(attempt['signed_ms']),
    }),
  )
  const transfers = db.all('SELECT * FROM erc20_transfer WHERE transaction_id = ? ORDER BY position', id)
  const logIndexes = transfers.flatMap(({ log_index: at }) => (at === null ? [] : [Number(at)]))
  return {
    id,
    chainId: Number(row['chain_id']),
    network: String(row['network']),
    sender: String(row['sender']),
    purpose: row['purpose'] as Purpose,
    platform: String(row['platform']),
    to: String(row['recipient']),
    data: row['call_data'] as Hex,
    gasLimit: BigInt(String(row['gas_limit'])),
    nonce: Number(row['nonce']),
    items: transfers.map((item) => ({ payee: String(item['payee']), amountWei: BigInt(String(item['amount'])) })),
    state: toState(row, attempts, logIndexes),
  }
}

function toState(row: Row, attempts: Attempt[], logIndexes: number[]): TransactionState {
  const kind = row['state'] as TransactionKind
  if (kind === 'assigned') return { kind }
  if (kind === 'signed' || kind === 'broadcast' || kind === 'replaced') return { kind, attempts }
  const inclusion: Inclusion = {
    hash: row['mined_hash'] as Hex,
    blockNumber: Number(row['block_number']),
    blockHash: row['block_hash'] as Hex,
    isSuccess: row['is_success'] === 1,
    feeWei: BigInt(String(row['fee'])),
    logIndexes,
  }
  return { kind, attempts, inclusion }
}
