/**
 * Identity: the keys a node acts with. One identity is the default; each REST client acts for one of them through its
 * app key. Keys are kept as Web3 Secret Storage; an identity with an empty password is unlocked at start.
 */
import type { NodeId, Service } from '@emet/core'

export type Identity = {
  readonly nodeId: NodeId
  readonly alias: string | null
  readonly isDefault: boolean
  readonly isLocked: boolean
}

/** A REST client's token. All rights come from the identity it is bound to. */
export type AppKey = {
  readonly key: string
  readonly name: string
  readonly role: string
  readonly nodeId: NodeId
  readonly allowOrigins: readonly string[]
  readonly createdMs: number
}

/** What other modules need of identity: who we are, and signatures. */
export interface Signer {
  readonly defaultId: NodeId
  /** All unlocked identities, the default one first. */
  ids(): NodeId[]
  /** Signs a 32-byte digest as it is: 65 bytes `v || r || s`, v = 0 or 1. Throws `IdentityError` when locked or unknown. */
  sign(id: NodeId, digest: Uint8Array): Promise<Uint8Array>
  /** The identity that made `signature` over `digest`; undefined when it is no signature. */
  recover(digest: Uint8Array, signature: Uint8Array): NodeId | undefined
  /** The private key, for the handshake and for signing transactions. 32 bytes. Throws when locked or unknown. */
  privateKey(id: NodeId): Uint8Array
}

export interface IdentityService extends Signer, Service {
  list(): Identity[]
  create(request: {
    alias?: string
    privateKey?: Uint8Array
    password?: string
    setDefault?: boolean
  }): Promise<Identity>
  importKeystore(request: {
    keystore: unknown
    password: string
    alias?: string
    setDefault?: boolean
  }): Promise<Identity>
  /** The keystore JSON (Web3 Secret Storage v3). */
  exportKeystore(id: NodeId): unknown
  update(id: NodeId, change: { alias?: string | null; setDefault?: boolean }): Identity
  drop(id: NodeId): void
  lock(id: NodeId): void
  unlock(id: NodeId, password: string): Promise<void>
  appKeys(): AppKey[]
  /** The same name on the same identity returns the existing key. */
  createAppKey(request: { name: string; nodeId?: NodeId; allowOrigins?: readonly string[] }): AppKey
  dropAppKey(name: string): void
  findAppKey(key: string): AppKey | undefined
}
