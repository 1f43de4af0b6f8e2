/**
 * secp256k1 as Golem uses it: signatures are 65 bytes `v || r || s` with v = recovery id 0 or 1, over a 32-byte digest
 * as it is; a node id is the last 20 bytes of keccak-256 of the uncompressed public key. (Golem wire: identity.)
 *
 * The native library checks a signature in 0.05 ms; the pure JavaScript ones take 1 ms.
 */
import { type NodeId, nodeId, type Random } from '@emet/core'
import { keccak_256 } from '@noble/hashes/sha3.js'
import secp256k1 from 'secp256k1'
import { IdentityError } from './errors.ts'

export const PRIVATE_KEY_BYTES = 32
export const SIGNATURE_BYTES = 65

export function createPrivateKey(random: Random): Uint8Array {
  for (;;) {
    const key = random.bytes(PRIVATE_KEY_BYTES)
    if (secp256k1.privateKeyVerify(key)) return key
  }
}

/** Parses 64 hex digits, with or without `0x`. */
export function parsePrivateKey(text: string): Uint8Array {
  const hex = text.trim().replace(/^0x/i, '')
  const key = /^[0-9a-fA-F]{64}$/.test(hex) ? Uint8Array.from(Buffer.from(hex, 'hex')) : undefined
  if (!key || !secp256k1.privateKeyVerify(key)) {
    throw new IdentityError('bad-private-key', 'a private key is 64 hex digits (32 bytes), and not zero')
  }
  return key
}

/** The address of a private key. */
export function nodeIdOf(privateKey: Uint8Array): NodeId {
  return addressOf(secp256k1.publicKeyCreate(privateKey, false))
}

export function signDigest(privateKey: Uint8Array, digest: Uint8Array): Uint8Array {
  const { signature, recid } = secp256k1.ecdsaSign(digest, privateKey)
  const out = new Uint8Array(SIGNATURE_BYTES)
  out[0] = recid
  out.set(signature, 1)
  return out
}

/** Who signed; undefined when these bytes are no signature. */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): NodeId | undefined {
  const v = signature[0] ?? 255
  if (signature.length !== SIGNATURE_BYTES || digest.length !== 32 || v > 1) return undefined
  try {
    return addressOf(secp256k1.ecdsaRecover(signature.subarray(1), v, digest, false))
  } catch {
    return undefined
  }
}

function addressOf(uncompressedPublicKey: Uint8Array): NodeId {
  const hash = keccak_256(uncompressedPublicKey.subarray(1))
  return nodeId(`0x${Buffer.from(hash.subarray(12)).toString('hex')}`)
}
