import type { NodeId } from '@emet/core'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { nodeIdOfPublicKey } from '../address-of.ts'
import type { NetIdentity } from '../types.ts'

/** The default identity's key as libp2p wants it: the Noise handshake then proves the NodeId. */
export function hostKey(identity: NetIdentity): PrivateKey {
  return privateKeyFromRaw(identity.handshakeKey())
}

/** The NodeId that a peer id's public key stands for; undefined for keys of another kind, which no node has. */
export function nodeIdOfPeer(peerId: PeerId): NodeId | undefined {
  const publicKey = peerId.publicKey
  return publicKey?.type === 'secp256k1' ? nodeIdOfPublicKey(publicKey.raw) : undefined
}
