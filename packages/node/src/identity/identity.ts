import type { Clock, NodeId, Random } from '@emet/core'
import { createAppKeys } from './app-keys.ts'
import { IdentityError } from './errors.ts'
import { createKeyRing } from './key-ring.ts'
import { createPrivateKey, nodeIdOf, parsePrivateKey, recoverSigner, signDigest } from './keys.ts'
import { type Keystore, openKey, sealKey } from './keystore.ts'
import type { IdentityOptions } from './options.ts'
import type { IdentityStore } from './store.ts'
import type { IdentityService } from './types.ts'

export type IdentityDeps = { readonly store: IdentityStore; readonly clock: Clock; readonly random: Random }

/**
 * On the first `start()` a default identity is made. The autoconfigured identity and app key live in memory only: they
 * come from the environment each time.
 */
export function createIdentity(deps: IdentityDeps, options: IdentityOptions): IdentityService {
  const { store, random } = deps
  const autoconfKey = options.autoconfSecret === undefined ? undefined : parsePrivateKey(options.autoconfSecret)
  const ring = createKeyRing(store, autoconfKey)
  const appKeys = createAppKeys({ ...deps, defaultId: ring.defaultId, place: ring.place })

  const add = (key: Uint8Array, keystore: Keystore, request: { alias?: string; setDefault?: boolean }) => {
    const nodeId = nodeIdOf(key)
    if (ring.place(nodeId)) throw new IdentityError('identity-exists', `identity ${nodeId} exists already`, { nodeId })
    ring.add({ nodeId, alias: request.alias ?? null, keystore }, key, request.setDefault ?? false)
    return ring.describe(nodeId)
  }
  const create: IdentityService['create'] = async ({ privateKey, password = '', ...request }) => {
    const key = privateKey ?? createPrivateKey(random)
    return add(key, await sealKey(key, password, random), request)
  }
  const refuseDefault = (id: NodeId, what: string) => {
    if (ring.stored(id).nodeId !== ring.defaultId()) return
    throw new IdentityError('is-default', `${id} is the default identity and cannot be ${what}; choose another first`)
  }
  const start = async () => {
    for (const identity of store.identities()) {
      ring.load(identity, await openKey(identity.keystore, '').catch(() => undefined))
    }
    if (!autoconfKey && store.identities().length === 0) await create({})
    appKeys.load()
    if (options.autoconfAppKey) appKeys.addTransient(options.autoconfAppKey, 'autoconfigured', ring.defaultId())
  }

  return {
    get defaultId() {
      return ring.defaultId()
    },
    start,
    stop: async () => ring.clear(),
    ids: ring.unlockedIds,
    sign: async (id, digest) => signDigest(ring.key(id), digest),
    recover: recoverSigner,
    privateKey: (id) => ring.key(id).slice(),
    list: ring.all,
    create,
    importKeystore: async ({ keystore, password, ...request }) =>
      add(await openKey(keystore, password), keystore as Keystore, request),
    exportKeystore: (id) => ring.stored(id).keystore,
    update: (id, change) => {
      ring.change(ring.stored(id).nodeId, change)
      return ring.describe(id)
    },
    drop: (id) => {
      refuseDefault(id, 'dropped')
      ring.remove(id)
      appKeys.dropOf(id)
    },
    lock: (id) => {
      refuseDefault(id, 'locked')
      ring.lock(id)
    },
    unlock: async (id, password) => ring.unlock(id, await openKey(ring.stored(id).keystore, password)),
    appKeys: appKeys.appKeys,
    createAppKey: appKeys.createAppKey,
    dropAppKey: appKeys.dropAppKey,
    findAppKey: appKeys.findAppKey,
  }
}
