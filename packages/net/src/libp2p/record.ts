/**
 * Where a node is: its peer id (which holds the public key, hence the NodeId) and its addresses, signed by itself. The
 * form is libp2p's signed peer record.
 */
import type { NodeId } from '@emet/core'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { NetError } from '../errors.ts'
import { nodeIdOfPeer } from './keys.ts'

/** A sealed record. */
export const RECORD_BYTES_MAX = 4096

/** Addresses in one record. */
export const RECORD_ADDRESSES_MAX = 16

export type NodeRecord = {
  readonly nodeId: NodeId
  readonly peerId: PeerId
  readonly addresses: readonly Multiaddr[]
  /** The larger is the newer. */
  readonly sequence: bigint
}

export async function sealRecord(
  key: PrivateKey,
  peerId: PeerId,
  addresses: readonly Multiaddr[],
  sequence: bigint,
): Promise<Uint8Array> {
  const multiaddrs = addresses.slice(0, RECORD_ADDRESSES_MAX)
  const envelope = await RecordEnvelope.seal(new PeerRecord({ peerId, multiaddrs, seqNumber: sequence }), key)
  return envelope.marshal()
}

/** Checks the signature, and that the signer is whom the record is about. Fails with `not-proven` or `protocol`. */
export async function openRecord(sealed: Uint8Array): Promise<NodeRecord> {
  if (sealed.length > RECORD_BYTES_MAX) throw new NetError('too-large', `a record of ${sealed.length} bytes came`)
  const { peerRecord, signer } = await parseRecord(sealed)
  const nodeId = nodeIdOfPeer(peerRecord.peerId)
  if (!nodeId || !peerRecord.peerId.publicKey?.equals(signer)) {
    throw new NetError('not-proven', 'a record is not signed by the node that it is about')
  }
  if (peerRecord.multiaddrs.length > RECORD_ADDRESSES_MAX)
    throw new NetError('protocol', 'a record has too many addresses')
  return {
    nodeId,
    peerId: peerRecord.peerId,
    addresses: peerRecord.multiaddrs.map((address) => multiaddr(address.toString())),
    sequence: peerRecord.seqNumber,
  }
}

async function parseRecord(sealed: Uint8Array) {
  try {
    const envelope = await RecordEnvelope.openAndCertify(sealed, PeerRecord.DOMAIN)
    return { peerRecord: PeerRecord.createFromProtobuf(envelope.payload), signer: envelope.publicKey }
  } catch (error) {
    throw new NetError('not-proven', 'a record is broken or wrongly signed', {}, { cause: error })
  }
}
