import { type Clock, type NodeId, type Random, randomHexId } from '@emet/core'
import { IdentityError } from './errors.ts'
import type { IdentityStore } from './store.ts'
import type { AppKey, IdentityService } from './types.ts'

/** App keys a node may hold. */
const APP_KEYS_MAX = 10_000

export type AppKeysDeps = {
  readonly store: IdentityStore
  readonly clock: Clock
  readonly random: Random
  /** The default identity. */
  defaultId(): NodeId
  /** Whether the identity is known, and whether it is in the store (the autoconfigured one is not). */
  place(id: NodeId): 'stored' | 'memory' | undefined
}

export type AppKeys = Pick<IdentityService, 'appKeys' | 'createAppKey' | 'dropAppKey' | 'findAppKey'> & {
  load(): void
  /** Adds a key that is not stored. */
  addTransient(key: string, name: string, nodeId: NodeId): void
  dropOf(nodeId: NodeId): void
}

/** The REST clients' tokens, all in memory so that a lookup is a map access. Keys of unstored identities are not stored. */
export function createAppKeys(deps: AppKeysDeps): AppKeys {
  const { store, clock, random } = deps
  const byKey = new Map<string, AppKey>()
  const byName = (name: string) => [...byKey.values()].find((appKey) => appKey.name === name)

  const createAppKey: IdentityService['createAppKey'] = (request) => {
    const { name, nodeId = deps.defaultId(), role = 'manager', allowOrigins = [] } = request
    const existing = byName(name)
    if (existing?.nodeId === nodeId && existing.role === role) return existing
    if (existing) throw taken(existing)
    if (byKey.size >= APP_KEYS_MAX) throw new IdentityError('too-many', `a node holds at most ${APP_KEYS_MAX} app keys`)
    const place = deps.place(nodeId)
    if (!place) throw new IdentityError('unknown-identity', `no identity ${nodeId}; see \`emet id list\``, { nodeId })
    const created = { key: randomHexId(random), name, role, nodeId, allowOrigins, createdMs: clock.nowMs() }
    if (place === 'stored') store.saveAppKey(created)
    byKey.set(created.key, created)
    return created
  }
  const dropAppKey = (name: string) => {
    const appKey = byName(name)
    if (!appKey)
      throw new IdentityError('unknown-app-key', `no app key named "${name}"; see \`emet app-key list\``, { name })
    store.removeAppKey(appKey.key)
    byKey.delete(appKey.key)
  }
  return {
    load: () => {
      for (const appKey of store.appKeys()) byKey.set(appKey.key, appKey)
    },
    addTransient: (key, name, nodeId) => {
      byKey.set(key, { key, name, role: 'manager', nodeId, allowOrigins: [], createdMs: clock.nowMs() })
    },
    dropOf: (nodeId) => {
      for (const appKey of [...byKey.values()]) if (appKey.nodeId === nodeId) byKey.delete(appKey.key)
    },
    appKeys: () => [...byKey.values()],
    createAppKey,
    dropAppKey,
    findAppKey: (key) => byKey.get(key),
  }
}

function taken({ name, nodeId, role }: AppKey): IdentityError {
  const message = `app key "${name}" belongs to ${nodeId} in the role ${role}; choose another name, or drop it first`
  return new IdentityError('app-key-taken', message, { name, nodeId, role })
}
