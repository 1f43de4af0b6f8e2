/**
 * Identity: the keys a node acts with, and the app keys of its REST clients.
 *
 *     start():  read keystores -> unlock those with an empty password, and the default one -> first run: make a default identity
 *
 * Keys are Web3 Secret Storage (`keystore.ts`), signatures secp256k1 (`keys.ts`).
 */
export { IdentityError, type IdentityErrorCode } from './errors.ts'
export { createIdentity, type IdentityDeps } from './identity.ts'
export { createPrivateKey, nodeIdOf, parsePrivateKey, recoverSigner, signDigest } from './keys.ts'
export { type IdentityOptions, identityOptionsSchema } from './options.ts'
export { createIdentityRoutes } from './routes.ts'
export { createIdentityStore, type IdentityStore } from './store.ts'
export type { AppKey, Identity, IdentityService, Signer } from './types.ts'
