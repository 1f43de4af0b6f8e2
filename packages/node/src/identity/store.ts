import { type NodeId, nodeId } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { Keystore } from './keystore.ts'
import type { AppKey } from './types.ts'

/** A stored identity: the key only in its encrypted form. */
export type StoredIdentity = {
  readonly nodeId: NodeId
  readonly alias: string | null
  readonly isDefault: boolean
  readonly keystore: Keystore
}

/** Rows live until dropped by the user. */
export interface IdentityStore {
  identities(): StoredIdentity[]
  saveIdentity(identity: StoredIdentity): void
  removeIdentity(id: NodeId): void
  appKeys(): AppKey[]
  saveAppKey(appKey: AppKey): void
  removeAppKey(key: string): void
  transaction<T>(work: () => T): T
}

const MIGRATIONS = [
  `CREATE TABLE identity (
     node_id TEXT PRIMARY KEY, alias TEXT UNIQUE, is_default INTEGER NOT NULL, keystore TEXT NOT NULL
   ) STRICT;
   CREATE TABLE app_key (
     key TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
     node_id TEXT NOT NULL REFERENCES identity (node_id) ON DELETE CASCADE,
     allow_origins TEXT NOT NULL, created_ms INTEGER NOT NULL
   ) STRICT;`,
]

export function createIdentityStore(db: Database): IdentityStore {
  db.migrate('identity', MIGRATIONS)
  return {
    identities: () => db.all('SELECT * FROM identity ORDER BY is_default DESC, rowid').map(identityFromRow),
    saveIdentity: ({ nodeId, alias, isDefault, keystore }) => {
      db.run(
        `INSERT INTO identity VALUES (?, ?, ?, ?) ON CONFLICT (node_id)
         DO UPDATE SET alias = excluded.alias, is_default = excluded.is_default, keystore = excluded.keystore`,
        nodeId,
        alias,
        isDefault ? 1 : 0,
        JSON.stringify(keystore),
      )
    },
    removeIdentity: (id) => void db.run('DELETE FROM identity WHERE node_id = ?', id),
    appKeys: () => db.all('SELECT * FROM app_key ORDER BY rowid').map(appKeyFromRow),
    saveAppKey: ({ key, name, role, nodeId, allowOrigins, createdMs }) => {
      const origins = JSON.stringify(allowOrigins)
      db.run('INSERT INTO app_key VALUES (?, ?, ?, ?, ?, ?)', key, name, role, nodeId, origins, createdMs)
    },
    removeAppKey: (key) => void db.run('DELETE FROM app_key WHERE key = ?', key),
    transaction: (work) => db.transaction(work),
  }
}

function identityFromRow(row: Row): StoredIdentity {
  return {
    nodeId: nodeId(String(row['node_id'])),
    alias: row['alias'] === null ? null : String(row['alias']),
    isDefault: row['is_default'] === 1,
    keystore: JSON.parse(String(row['keystore'])),
  }
}

function appKeyFromRow(row: Row): AppKey {
  return {
    key: String(row['key']),
    name: String(row['name']),
    // What we do not know gets the least.
    role: row['role'] === 'manager' ? 'manager' : 'agent',
    nodeId: nodeId(String(row['node_id'])),
    allowOrigins: JSON.parse(String(row['allow_origins'])),
    createdMs: Number(row['created_ms']),
  }
}
