import { type NodeId, nodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { FileRecord } from './types.ts'

/** Rows live until their URL is closed. */
export interface FileStore {
  put(file: FileRecord): void
  /** Who has made it does not matter: for peers. */
  byName(name: string): FileRecord | undefined
  get(owner: NodeId, name: string): FileRecord | undefined
  list(owner: NodeId): FileRecord[]
  count(): number
  update(name: string, change: Pick<FileRecord, 'state' | 'sizeBytes' | 'sha3' | 'message'>): void
  remove(owner: NodeId, name: string): void
  /** Paths of copies that the node keeps. */
  keptPaths(): string[]
}

const MIGRATIONS = [
  `CREATE TABLE file (
     name TEXT NOT NULL, owner_id TEXT NOT NULL, direction TEXT NOT NULL, path TEXT NOT NULL, is_kept INTEGER NOT NULL,
     state TEXT NOT NULL, size_bytes INTEGER, sha3 TEXT, modified_ms REAL, message TEXT, created_us INTEGER NOT NULL,
     PRIMARY KEY (name, owner_id)
   ) STRICT;
   CREATE INDEX file_by_owner ON file (owner_id, created_us);`,
]

/** The store in the daemon's database. */
export function createFileStore(db: Database): FileStore {
  db.migrate('files', MIGRATIONS)
  const first = (row: Row | undefined) => row && fromRow(row)
  return {
    put: (file) =>
      void db.run(
        'INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[file.name, file.ownerId, file.direction, file.path, file.isKept ? 1 : 0, file.state, file.sizeBytes],
        ...[file.sha3, file.modifiedMs, file.message, file.createdUs],
      ),
    byName: (name) => first(db.get('SELECT * FROM file WHERE name = ? ORDER BY created_us DESC LIMIT 1', name)),
    get: (owner, name) => first(db.get('SELECT * FROM file WHERE name = ? AND owner_id = ?', name, owner)),
    list: (owner) => db.all('SELECT * FROM file WHERE owner_id = ? ORDER BY created_us, name', owner).map(fromRow),
    count: () => Number(db.get('SELECT count(*) AS n FROM file')?.['n'] ?? 0),
    update: (name, { state, sizeBytes, sha3, message }) =>
      void db.run(
        'UPDATE file SET state = ?, size_bytes = ?, sha3 = ?, message = ? WHERE name = ?',
        ...[state, sizeBytes, sha3, message, name],
      ),
    remove: (owner, name) => void db.run('DELETE FROM file WHERE name = ? AND owner_id = ?', name, owner),
    keptPaths: () => db.all('SELECT path FROM file WHERE is_kept = 1').map((row) => String(row['path'])),
  }
}

const STATES = ['open', 'transferring', 'done', 'failed'] as const

function fromRow(row: Row): FileRecord {
  const text = (name: string) => (row[name] == null ? null : String(row[name]))
  const number = (name: string) => (row[name] == null ? null : Number(row[name]))
  return {
    name: String(row['name']),
    ownerId: nodeId(String(row['owner_id'])),
    direction: row['direction'] === 'publish' ? 'publish' : 'receive',
    path: String(row['path']),
    isKept: row['is_kept'] === 1,
    state: STATES.find((state) => state === row['state']) ?? 'failed',
    sizeBytes: number('size_bytes'),
    sha3: text('sha3'),
    modifiedMs: number('modified_ms'),
    message: text('message'),
    createdUs: Number(row['created_us']),
  }
}
