import { createHash } from 'node:crypto'
import type { NodeId } from '@emet/core'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey, Secp256k1PrivateKey, Secp256k1PublicKey } from '@libp2p/interface'
import secp256k1 from 'secp256k1'
import { nodeIdOfPublicKey } from '../address-of.ts'
import type { NetIdentity } from '../types.ts'

/**
 * The default identity's key as libp2p wants it: the Noise handshake then proves the NodeId. Signed by the native library:
 * libp2p's own prepares tables for 40 ms before its first signature, which every process of a node would wait for.
 */
export function hostKey(identity: NetIdentity): PrivateKey {
  const raw = identity.handshakeKey()
  const key: Secp256k1PrivateKey = {
    type: 'secp256k1',
    raw,
    publicKey: publicKeyFromRaw(secp256k1.publicKeyCreate(raw)) as Secp256k1PublicKey,
    equals: (other) => other?.raw instanceof Uint8Array && Buffer.compare(other.raw, raw) === 0,
    sign: (message, options) => {
      options?.signal?.throwIfAborted()
      const hash = createHash('sha256')
      for (const part of message instanceof Uint8Array ? [message] : message) hash.update(part)
      return secp256k1.signatureExport(secp256k1.ecdsaSign(hash.digest(), raw).signature)
    },
  }
  return key
}

/** The NodeId that a peer id's public key stands for; undefined for keys of another kind, which no node has. */
export function nodeIdOfPeer(peerId: PeerId): NodeId | undefined {
  const publicKey = peerId.publicKey
  return publicKey?.type === 'secp256k1' ? nodeIdOfPublicKey(publicKey.raw) : undefined
}
