/**
 * Identity: the keys a node acts with. One identity is the default; each REST client acts for one of them through its
 * app key. Keys are kept as Web3 Secret Storage; an identity with an empty password is unlocked at start.
 */
import type { AppKeyRole } from '@emet/api'
import type { NodeId, Service } from '@emet/core'

export type Identity = {
  readonly nodeId: NodeId
  readonly alias: string | null
  readonly isDefault: boolean
  readonly isLocked: boolean
}

/** A REST client's token. It acts for the identity it is bound to; its role says what it may do with the node itself. */
export type AppKey = {
  readonly key: string
  readonly name: string
  readonly role: AppKeyRole
  readonly nodeId: NodeId
  readonly allowOrigins: readonly string[]
  readonly createdMs: number
}

export type AppKeyRequest = {
  readonly name: string
  readonly nodeId?: NodeId
  readonly role?: AppKeyRole
  readonly allowOrigins?: readonly string[]
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
  /** Throws `default-locked` when it would be the default identity and could not be unlocked at the next start. */
  create(request: {
    alias?: string
    privateKey?: Uint8Array
    password?: string
    setDefault?: boolean
  }): Promise<Identity>
  /** Throws as `create` does. */
  importKeystore(request: {
    keystore: unknown
    password: string
    alias?: string
    setDefault?: boolean
  }): Promise<Identity>
  /** The keystore JSON (Web3 Secret Storage v3). */
  exportKeystore(id: NodeId): unknown
  /** Throws as `create` does. */
  update(id: NodeId, change: { alias?: string | null; setDefault?: boolean }): Promise<Identity>
  drop(id: NodeId): void
  lock(id: NodeId): void
  unlock(id: NodeId, password: string): Promise<void>
  appKeys(): AppKey[]
  /** The same name on the same identity, in the same role, returns the existing key. Default role: manager. */
  createAppKey(request: AppKeyRequest): AppKey
  dropAppKey(name: string): void
  findAppKey(key: string): AppKey | undefined
}
