import type { NodeId } from '@emet/core'
import { IdentityError } from './errors.ts'
import { nodeIdOf } from './keys.ts'
import type { IdentityStore, StoredIdentity } from './store.ts'
import type { Identity } from './types.ts'

/** Identities a node may hold. */
const IDENTITIES_MAX = 1_000

/** The identities of this node and the keys of those that are unlocked. An autoconfigured identity is never stored. */
export interface KeyRing {
  defaultId(): NodeId
  place(id: NodeId): 'stored' | 'memory' | undefined
  /** Throws `unknown-identity`. */
  stored(id: NodeId): StoredIdentity
  all(): Identity[]
  describe(id: NodeId): Identity
  /** Unlocked identities, the default one first. */
  unlockedIds(): NodeId[]
  /** The key of an unlocked identity. Throws `locked` or `unknown-identity`. */
  key(id: NodeId): Uint8Array
  load(identity: StoredIdentity, key: Uint8Array | undefined): void
  add(identity: Omit<StoredIdentity, 'isDefault'>, key: Uint8Array, setDefault: boolean): void
  change(id: NodeId, change: { alias?: string | null; setDefault?: boolean }): void
  unlock(id: NodeId, key: Uint8Array): void
  lock(id: NodeId): void
  remove(id: NodeId): void
  clear(): void
}

export function createKeyRing(store: IdentityStore, autoconfKey: Uint8Array | undefined): KeyRing {
  const identities = new Map<NodeId, StoredIdentity>()
  const keys = new Map<NodeId, Uint8Array>()
  const autoconfId = autoconfKey && nodeIdOf(autoconfKey)
  if (autoconfKey && autoconfId) keys.set(autoconfId, autoconfKey)

  const defaultId = (): NodeId => {
    const id = autoconfId ?? [...identities.values()].find((identity) => identity.isDefault)?.nodeId
    if (!id) throw new IdentityError('unknown-identity', 'there is no default identity: the daemon has not started yet')
    return id
  }
  const save = (identity: StoredIdentity) => {
    store.saveIdentity(identity)
    identities.set(identity.nodeId, identity)
  }
  const makeDefault = (id: NodeId) => {
    for (const identity of identities.values()) {
      const isDefault = identity.nodeId === id
      if (identity.isDefault !== isDefault) save({ ...identity, isDefault })
    }
  }
  const wipe = (id: NodeId) => {
    keys.get(id)?.fill(0)
    keys.delete(id)
  }
  const place = (id: NodeId) => (identities.has(id) ? 'stored' : id === autoconfId ? 'memory' : undefined)
  const stored = (id: NodeId) => identities.get(id) ?? unknown(id)
  const describe = (id: NodeId): Identity => ({
    nodeId: id,
    alias: identities.get(id)?.alias ?? null,
    isDefault: id === defaultId(),
    isLocked: !keys.has(id),
  })
  return {
    defaultId,
    place,
    stored,
    describe,
    all: () => [...new Set([...(autoconfId ? [autoconfId] : []), ...identities.keys()])].map(describe),
    unlockedIds: () => [...keys.keys()].sort((a, b) => Number(b === defaultId()) - Number(a === defaultId())),
    key: (id) => keys.get(id) ?? (place(id) ? isLocked(id) : unknown(id)),
    load: (identity, key) => {
      identities.set(identity.nodeId, identity)
      if (key) keys.set(identity.nodeId, key)
    },
    add: (identity, key, setDefault) => {
      if (identities.size >= IDENTITIES_MAX)
        throw new IdentityError('too-many', `a node holds ${IDENTITIES_MAX} identities`)
      checkAlias(identities, identity.alias, identity.nodeId)
      store.transaction(() => {
        save({ ...identity, isDefault: false })
        if (setDefault) makeDefault(identity.nodeId)
      })
      keys.set(identity.nodeId, key)
    },
    change: (id, { alias, setDefault }) => {
      checkAlias(identities, alias, id)
      store.transaction(() => {
        if (alias !== undefined) save({ ...stored(id), alias })
        if (setDefault) makeDefault(stored(id).nodeId)
      })
    },
    unlock: (id, key) => void keys.set(id, key),
    lock: wipe,
    remove: (id) => {
      store.removeIdentity(id)
      identities.delete(id)
      wipe(id)
    },
    clear: () => [...keys.keys()].forEach(wipe),
  }
}

function checkAlias(identities: ReadonlyMap<NodeId, StoredIdentity>, alias: string | null | undefined, owner: NodeId) {
  const taken = [...identities.values()].find((identity) => identity.alias === alias && identity.nodeId !== owner)
  if (alias && taken)
    throw new IdentityError('alias-taken', `the alias "${alias}" belongs to ${taken.nodeId}`, { alias })
}

function unknown(id: NodeId): never {
  throw new IdentityError('unknown-identity', `no identity ${id}; see \`emet id list\``, { nodeId: id })
}

function isLocked(id: NodeId): never {
  throw new IdentityError('locked', `identity ${id} is locked; unlock it with \`emet id unlock ${id}\``, { nodeId: id })
}
