/**
 * The daemon's one SQLite file. Each module keeps its SQL in its own `store.ts` and its schema in numbered migrations,
 * which `migrate` applies under the module's name. Everything is synchronous: a statement either happened or threw.
 *
 *     const db = openDatabase({ path: 'emet.db' })
 *     db.migrate('market', ['CREATE TABLE market_offer (id TEXT PRIMARY KEY) STRICT'])
 *     db.transaction(() => { db.run('INSERT INTO market_offer VALUES (?)', id) })
 */
export { type Database, type Durability, openDatabase, type Row, type SqlValue } from './database.ts'
export { StoreError, type StoreErrorCode } from './errors.ts'
