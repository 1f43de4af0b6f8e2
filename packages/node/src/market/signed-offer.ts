import { type InstantUs, parseInstant } from '@emet/core'
import { sha3_256 } from '@noble/hashes/sha3.js'
import type { Signer } from '../identity/index.ts'
import { hashIsRight } from './content.ts'
import { MarketError } from './errors.ts'
import { CONSTRAINTS_BYTES_MAX, PROPERTIES_BYTES_MAX } from './limits.ts'
import type { Publication, SignedOffer } from './types.ts'

/** An offer may not have been made later than this from now: clocks differ. */
export const CLOCK_SKEW_MS_MAX = 300_000
/** An offer may not live longer than this. */
export const OFFER_LIFE_MS_MAX = 31 * 24 * 3_600_000

/**
 * What the issuing identity signs. The id commits to content and issuer; the two times are added because the id's hash
 * leaves out their seconds (Golem wire 4.1).
 */
export function offerDigest(offer: Publication): Uint8Array {
  return digestOf(['emet/offer/1', offer.id, offer.creationTs, offer.expirationTs])
}

/** SHA3-256 over lines of text: the form of everything the market signs. */
export function digestOf(lines: readonly (string | number)[]): Uint8Array {
  return sha3_256(new TextEncoder().encode(lines.join('\n')))
}

/** Signs an offer of one of our identities. */
export async function signOffer(signer: Signer, offer: Publication): Promise<SignedOffer> {
  const signature = await signer.sign(offer.nodeId, offerDigest(offer))
  return { ...offer, signature: toHex(signature) }
}

/** Throws `MarketError` `bad-offer` unless the offer is well formed, alive and signed by its issuer. */
export function verifyOffer(signer: Pick<Signer, 'recover'>, offer: SignedOffer, nowMs: number): void {
  verifyPublication(offer, nowMs)
  const issuer = signer.recover(offerDigest(offer), fromHex(offer.signature))
  if (issuer !== offer.nodeId) throw refuse(offer, `is not signed by ${offer.nodeId}`)
}

/** The checks that need no signature: sizes, hash, times. */
export function verifyPublication(offer: Publication, nowMs: number): void {
  if (Buffer.byteLength(offer.properties) > PROPERTIES_BYTES_MAX) throw refuse(offer, 'has too large properties')
  if (Buffer.byteLength(offer.constraints) > CONSTRAINTS_BYTES_MAX) throw refuse(offer, 'has too large constraints')
  const createdUs = parseInstant(offer.creationTs)
  const expiresUs = parseInstant(offer.expirationTs)
  if (createdUs === undefined || expiresUs === undefined) throw refuse(offer, 'has a timestamp that is none')
  if (createdUs / 1000 > nowMs + CLOCK_SKEW_MS_MAX) throw refuse(offer, 'was made in the future')
  if (expiresUs / 1000 <= nowMs) throw refuse(offer, 'has expired')
  if (expiresUs - createdUs > OFFER_LIFE_MS_MAX * 1000) throw refuse(offer, 'lives too long')
  if (!hashIsRight(offer)) throw refuse(offer, 'has an id that is not the hash of its content')
}

/** When a verified publication ends. */
export function expiryOf(offer: Publication): InstantUs {
  return parseInstant(offer.expirationTs) ?? 0
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

function refuse(offer: Publication, why: string): MarketError {
  return new MarketError('bad-offer', `offer ${offer.id} of ${offer.nodeId} ${why}; it is ignored`, { id: offer.id })
}
