import { type NodeId, nodeId } from '@emet/core'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

/** The NodeId of a secp256k1 public key in any form: the last 20 bytes of keccak-256 of its 64-byte form. */
export function nodeIdOfPublicKey(publicKey: Uint8Array): NodeId {
  const uncompressed = secp256k1.Point.fromBytes(publicKey).toBytes(false)
  return nodeId(`0x${Buffer.from(keccak_256(uncompressed.subarray(1)).subarray(12)).toString('hex')}`)
}
