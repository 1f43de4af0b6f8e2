/**
 * Ids of the market, which are hashes of what they name. Golem wire: subscription ids hash the properties, constraints,
 * owner, creation and expiration; proposal and agreement ids hash both subscription ids and the creation.
 *
 * In hashes an instant is written as `YYYY-MM-DD HH:MM:` and nine digits of nanoseconds. The seconds are left out: an
 * accident of the original that every node must share.
 */
import { sha3_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { CodedError } from './errors.ts'
import type { NodeId, Role } from './ids.ts'
import { type Random, randomHexId } from './random.ts'

/** `<32 hex digits, random>-<64 hex digits, hash>`: an offer or a demand on the market. */
export type SubscriptionId = string & { readonly [subscriptionIdBrand]: never }
declare const subscriptionIdBrand: unique symbol

/** `R-` or `P-` (the role of the node that holds it) and 64 hex digits. */
export type ProposalId = string & { readonly [proposalIdBrand]: never }
declare const proposalIdBrand: unique symbol

/** 64 hex digits, the same on both sides. */
export type AgreementId = string & { readonly [agreementIdBrand]: never }
declare const agreementIdBrand: unique symbol

/** `bad-timestamp`: a text that must be an RFC 3339 date and time is not. */
export class MarketIdError extends CodedError<'bad-timestamp'> {}

const SUBSCRIPTION_ID = /^[0-9a-f]{32}-[0-9a-f]{64}$/
const PROPOSAL_ID = /^[RP]-[0-9a-f]{64}$/
const AGREEMENT_ID = /^[0-9a-f]{64}$/

export function parseSubscriptionId(text: string): SubscriptionId | undefined {
  return SUBSCRIPTION_ID.test(text) ? (text as SubscriptionId) : undefined
}

export function parseProposalId(text: string): ProposalId | undefined {
  return PROPOSAL_ID.test(text) ? (text as ProposalId) : undefined
}

export function parseAgreementId(text: string): AgreementId | undefined {
  return AGREEMENT_ID.test(text) ? (text as AgreementId) : undefined
}

const INSTANT = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})?$/

/**
 * The text of an instant inside hashes: `2020-06-19T18:53:01.123456789` gives `2020-06-19 18:53:123456789`.
 * Takes RFC 3339 with any offset, or without (UTC), and keeps all nine digits. Throws `MarketIdError`.
 */
export function hashTimestamp(instant: string): string {
  const match = INSTANT.exec(instant)
  const [, date, time, fraction = '', zone = 'Z'] = match ?? []
  const ms = match ? Date.parse(`${date}T${time}${zone.toUpperCase()}`) : Number.NaN
  if (Number.isNaN(ms)) {
    const start = instant.slice(0, 64)
    throw new MarketIdError('bad-timestamp', `not an RFC 3339 date and time: ${JSON.stringify(start)}`, { text: start })
  }
  const minute = new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
  return `${minute}:${fraction.padEnd(9, '0')}`
}

/** What a subscription id is made of. Instants are the texts as they travel. */
export type SubscriptionContent = {
  /** The JSON text of the flat properties, exactly as transmitted. */
  readonly properties: string
  readonly constraints: string
  readonly nodeId: NodeId
  readonly createdAt: string
  readonly expiresAt: string
}

/** 64 hex digits: the second half of a subscription id. Throws `MarketIdError` for a bad instant. */
export function subscriptionHash(content: SubscriptionContent): string {
  const hash = sha3_256.create()
  hash.update(utf8ToBytes(content.properties)).update(utf8ToBytes(content.constraints))
  hash.update(hexToBytes(content.nodeId.slice(2)))
  hash.update(utf8ToBytes(hashTimestamp(content.createdAt))).update(utf8ToBytes(hashTimestamp(content.expiresAt)))
  return bytesToHex(hash.digest())
}

/** A new id for a subscription. */
export function createSubscriptionId(content: SubscriptionContent, random: Random): SubscriptionId {
  return `${randomHexId(random)}-${subscriptionHash(content)}` as SubscriptionId
}

/** Whether an id that came from outside belongs to its content. A bad instant makes it false. */
export function isSubscriptionIdOf(id: SubscriptionId, content: SubscriptionContent): boolean {
  try {
    return id.slice(33) === subscriptionHash(content)
  } catch (error) {
    if (error instanceof MarketIdError) return false
    throw error
  }
}

/** What proposal and agreement ids are made of. */
export type ProposalContent = {
  readonly offerId: SubscriptionId
  readonly demandId: SubscriptionId
  readonly createdAt: string
}

/** 64 hex digits that name a proposal (behind its prefix) or an agreement. Throws `MarketIdError`. */
export function proposalHash({ offerId, demandId, createdAt }: ProposalContent): string {
  return bytesToHex(sha3_256(utf8ToBytes(offerId + demandId + hashTimestamp(createdAt))))
}

/** The proposal's id as the node with `role` holds it. */
export function proposalIdOf(role: Role, content: ProposalContent): ProposalId {
  return withRole(role, proposalHash(content))
}

/** The same proposal's id as the node with `role` holds it: prefixes are swapped where an id crosses the network. */
export function proposalIdFor(role: Role, id: ProposalId): ProposalId {
  return withRole(role, id.slice(2))
}

/** The role of the node that holds this id. */
export function proposalRole(id: ProposalId): Role {
  return id.startsWith('R') ? 'requestor' : 'provider'
}

/** The agreement's id; its creation is the agreement's, not the proposal's. */
export function agreementIdOf(content: ProposalContent): AgreementId {
  return proposalHash(content) as AgreementId
}

function withRole(role: Role, hash: string): ProposalId {
  return `${role === 'requestor' ? 'R' : 'P'}-${hash}` as ProposalId
}
