import type { Clock, NodeId, Random } from '@emet/core'
import { createAppKeys } from './app-keys.ts'
import { IdentityError } from './errors.ts'
import { createKeyRing } from './key-ring.ts'
import { createPrivateKey, nodeIdOf, parsePrivateKey, recoverSigner, signDigest } from './keys.ts'
import { type Keystore, openKey, sealKey } from './keystore.ts'
import type { IdentityOptions } from './options.ts'
import type { IdentityStore, StoredIdentity } from './store.ts'
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
  const opensAtStart = (password: string) => password === '' || password === options.defaultPassword
  const create: IdentityService['create'] = async ({ privateKey, password = '', ...request }) => {
    const key = privateKey ?? createPrivateKey(random)
    if (request.setDefault && !opensAtStart(password)) throw defaultLocked(nodeIdOf(key))
    return add(key, await sealKey(key, password, random), request)
  }
  const importKeystore: IdentityService['importKeystore'] = async ({ keystore, password, ...request }) => {
    const key = await openKey(keystore, password)
    if (request.setDefault && !opensAtStart(password)) throw defaultLocked(nodeIdOf(key))
    return add(key, keystore as Keystore, request)
  }
  /** The key of an identity, by the passwords that a start knows. */
  const openAtStart = async ({ keystore }: StoredIdentity) => {
    const open = (password: string) => openKey(keystore, password).catch(() => undefined)
    const { defaultPassword } = options
    return (await open('')) ?? (defaultPassword === undefined ? undefined : await open(defaultPassword))
  }
  const update: IdentityService['update'] = async (id, change) => {
    if (change.setDefault) {
      const key = await openAtStart(ring.stored(id))
      if (!key) throw defaultLocked(id)
      ring.unlock(ring.stored(id).nodeId, key)
    }
    ring.change(ring.stored(id).nodeId, change)
    return ring.describe(id)
  }
  const refuseDefault = (id: NodeId, what: string) => {
    if (ring.stored(id).nodeId !== ring.defaultId()) return
    throw new IdentityError('is-default', `${id} is the default identity and cannot be ${what}; choose another first`)
  }
  const start = async () => {
    for (const identity of store.identities()) {
      const key = identity.isDefault
        ? await openAtStart(identity)
        : await openKey(identity.keystore, '').catch(() => undefined)
      if (identity.isDefault && !key && !autoconfKey) throw defaultLocked(identity.nodeId)
      ring.load(identity, key)
    }
    if (!autoconfKey && !store.identities().some(({ isDefault }) => isDefault)) await create({ setDefault: true })
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
    importKeystore,
    exportKeystore: (id) => ring.stored(id).keystore,
    update,
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

/** A daemon needs the key of its default identity to start. */
function defaultLocked(nodeId: NodeId): IdentityError {
  const message =
    `${nodeId} has a password that the daemon does not know, and the daemon cannot start without the key of its default ` +
    'identity; run it with --default-password-file (EMET_DEFAULT_PASSWORD_FILE)'
  return new IdentityError('default-locked', message, { nodeId })
}
