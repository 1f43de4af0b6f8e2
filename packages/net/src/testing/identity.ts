import type { NodeId } from '@emet/core'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { nodeIdOfPublicKey } from '../address-of.ts'
import type { NetIdentity } from '../types.ts'

/** A `NetIdentity` that can be given further identities while it is in use. */
export interface TestIdentity extends NetIdentity {
  addAlias(seed: string): NodeId
}

/** Identities with keys derived from texts: `seed` is the default one. For tests only. */
export function createTestIdentity(seed: string, ...aliasSeeds: string[]): TestIdentity {
  const keys = new Map<NodeId, Uint8Array>()
  const add = (text: string) => {
    const key = sha256(new TextEncoder().encode(`test key ${text}`))
    const id = nodeIdOfPublicKey(secp256k1.getPublicKey(key))
    keys.set(id, key)
    return id
  }
  const keyOf = (id: NodeId) => keys.get(id) ?? fail(id)
  const defaultId = add(seed)
  for (const alias of aliasSeeds) add(alias)
  return {
    defaultId,
    ids: () => [...keys.keys()],
    handshakeKey: () => keyOf(defaultId),
    sign: async (id, digest) => secp256k1.sign(digest, keyOf(id), { prehash: false, format: 'recovered' }),
    recover: (digest, signature) => {
      try {
        const recovered = secp256k1.recoverPublicKey(signature, digest, { prehash: false })
        return nodeIdOfPublicKey(recovered)
      } catch {
        return undefined
      }
    },
    addAlias: add,
  }
}

function fail(id: NodeId): never {
  throw new Error(`no key of ${id}`)
}
