import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { messageOf } from '@emet/core'
import { StoreError, type StoreErrorCode } from './errors.ts'

export type SqlValue = null | number | bigint | string | Uint8Array
export type Row = Record<string, SqlValue>

/** A SQLite database. Parameters are positional (`?`). Integers come back as numbers, as bigint beyond 2^53. */
export interface Database {
  /** The first row, if any. */
  get(sql: string, ...parameters: SqlValue[]): Row | undefined
  all(sql: string, ...parameters: SqlValue[]): Row[]
  /** Returns how many rows changed. */
  run(sql: string, ...parameters: SqlValue[]): number
  /** All of `work` or nothing. May be nested. `work` must be synchronous. */
  transaction<T>(work: () => T): T
  /** Applies what is missing of a module's numbered migrations, all of it or nothing. */
  migrate(module: string, migrations: readonly string[]): void
  close(): void
}

export type DatabaseOptions = {
  /** A file, or `:memory:`. */
  readonly path: string
  /** How long to wait for another daemon that is just stopping to let go of the file. Default 1000. */
  readonly lockWaitMs?: number
  /**
   * What a committed transaction survives: `power-cut` (the default) waits for the disk at each commit; `crash` survives
   * the death of the process but may lose the last commits when the machine itself dies. Neither ever damages the file.
   */
  readonly durability?: Durability
}

export type Durability = 'power-cut' | 'crash'

/** Statements kept prepared. Modules use constant SQL, so this is never reached in practice. */
const PREPARED_MAX = 1_000

/**
 * Opens (or creates) the file in WAL mode, which makes a durable commit cost one sync. The file is locked for this process: a second daemon on the same folder fails with
 * `locked` instead of corrupting anything.
 */
export function openDatabase(options: DatabaseOptions): Database {
  const sqlite = guard(() => new DatabaseSync(options.path, { timeout: options.lockWaitMs ?? 1000 }))
  guard(() => {
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL')
    sqlite.exec(`PRAGMA synchronous = ${options.durability === 'crash' ? 'NORMAL' : 'FULL'}`)
    sqlite.exec('PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF')
    sqlite.exec('CREATE TABLE IF NOT EXISTS schema_version (module TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT')
  })
  const prepared = new Map<string, StatementSync>()
  let depth = 0

  const prepare = (sql: string): StatementSync => {
    let statement = prepared.get(sql)
    if (!statement) {
      if (prepared.size >= PREPARED_MAX) prepared.clear()
      statement = sqlite.prepare(sql)
      statement.setReadBigInts(true)
      prepared.set(sql, statement)
    }
    return statement
  }

  const transaction = <T>(work: () => T): T => {
    const outermost = depth === 0
    const name = `nested_${depth}`
    guard(() => sqlite.exec(outermost ? 'BEGIN IMMEDIATE' : `SAVEPOINT ${name}`))
    depth++
    try {
      const result = work()
      if (result instanceof Promise) throw new TypeError('a transaction must be synchronous')
      guard(() => sqlite.exec(outermost ? 'COMMIT' : `RELEASE ${name}`))
      return result
    } catch (error) {
      // SQLite has rolled back by itself after some failures, a full disk for one.
      if (sqlite.isTransaction) sqlite.exec(outermost ? 'ROLLBACK' : `ROLLBACK TO ${name}; RELEASE ${name}`)
      throw error
    } finally {
      depth--
    }
  }

  const database: Database = {
    get: (sql, ...parameters) => guard(() => toRow(prepare(sql).get(...parameters))),
    all: (sql, ...parameters) =>
      guard(() =>
        prepare(sql)
          .all(...parameters)
          .map((row) => toRow(row) as Row),
      ),
    run: (sql, ...parameters) => guard(() => Number(prepare(sql).run(...parameters).changes)),
    transaction,
    migrate: (module, migrations) => migrate(database, sqlite, module, migrations),
    close: () => {
      prepared.clear()
      if (sqlite.isOpen) sqlite.close()
    },
  }
  return database
}

function migrate(database: Database, sqlite: DatabaseSync, module: string, migrations: readonly string[]): void {
  const row = database.get('SELECT version FROM schema_version WHERE module = ?', module)
  const version = Number(row?.['version'] ?? 0)
  if (version > migrations.length) {
    const facts = { module, found: version, known: migrations.length }
    throw new StoreError('newer-schema', `the data folder was written by a newer Emet (${module}); update Emet`, facts)
  }
  const missing = migrations.slice(version)
  if (missing.length === 0) return
  database.transaction(() => {
    for (const sql of missing) guard(() => sqlite.exec(sql))
    database.run('INSERT OR REPLACE INTO schema_version VALUES (?, ?)', module, migrations.length)
  })
}

function toRow(row: Record<string, unknown> | undefined): Row | undefined {
  if (!row) return undefined
  const out: Row = {}
  for (const [name, value] of Object.entries(row)) {
    const safe = typeof value === 'bigint' && value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
    out[name] = safe ? Number(value) : (value as SqlValue)
  }
  return out
}

/** SQLite's primary result codes that mean something to the operator. */
const CODES: Readonly<Record<number, [StoreErrorCode, string]>> = {
  5: ['locked', 'another daemon uses this data folder; stop it, or choose another with --data-dir'],
  8: ['read-only', 'the data folder is read-only; make it writable'],
  10: ['failed', 'the disk failed to read or write the database'],
  11: ['corrupt', 'the database is damaged; restore a backup'],
  13: ['disk-full', 'the disk is full; free space, nothing was lost'],
  26: ['corrupt', 'the database file is not a database; restore a backup'],
}

function guard<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof StoreError || !(cause instanceof Error) || !('errcode' in cause)) throw cause
    const [code, advice] = CODES[Number(cause.errcode) & 0xff] ?? ['failed', 'the database refused']
    throw new StoreError(code, `${advice} (${messageOf(cause)})`, { errcode: cause.errcode }, { cause })
  }
}
