import {
  formatNaiveInstant,
  type InstantUs,
  type NodeId,
  type ProposalId,
  parseInstant,
  parseProposalId,
  proposalHash,
  proposalIdOf,
  type Role,
  type SubscriptionId,
} from '@emet/core'
import { compileContent, mismatchOf } from './content.ts'
import { MarketError } from './errors.ts'
import type { ProposalContent } from './protocol.ts'
import type { Content, ProposalRecord, ProposalState, SignedOffer, Subscription, SubscriptionKind } from './types.ts'

/** The pair that a negotiation is about, seen from one side. */
export type Pair = {
  readonly role: Role
  readonly offerId: string
  readonly demandId: string
  readonly ownerId: NodeId
  readonly peerId: NodeId
}

export const roleOf = (kind: SubscriptionKind): Role => (kind === 'offer' ? 'provider' : 'requestor')
export const kindOf = (role: Role): SubscriptionKind => (role === 'provider' ? 'offer' : 'demand')

/** The earlier of two timestamps, as its text. Golem wire: a proposal ends with the first of offer and demand. */
export function earlier(a: string, b: string): string {
  return (parseInstant(a) ?? 0) <= (parseInstant(b) ?? 0) ? a : b
}

/** A new proposal of ours, or one that stands for the other side's publication. */
export function newProposal(
  pair: Pair,
  facts: Content & {
    issuer: 'own' | 'peer'
    state: ProposalState
    prevId: string | null
    expirationTs: string
    createdUs: InstantUs
  },
): ProposalRecord {
  const creationTs = formatNaiveInstant(facts.createdUs)
  const id = proposalIdOf(pair.role, idsOf(pair, creationTs))
  return record(pair, { ...facts, id, creationTs })
}

/** A proposal that came from the other side, under the id as we keep it. */
export function receivedProposal(pair: Pair, content: ProposalContent, id: ProposalId, prevId: string): ProposalRecord {
  return record(pair, {
    id,
    issuer: 'peer',
    state: 'Draft',
    prevId,
    properties: content.properties,
    constraints: content.constraints,
    creationTs: content.creation_ts,
    expirationTs: content.expiration_ts,
    createdUs: parseInstant(content.creation_ts) ?? 0,
  })
}

function record(
  pair: Pair,
  facts: Omit<ProposalRecord, keyof Pair | 'subscriptionId' | 'isCountered'>,
): ProposalRecord {
  return {
    id: facts.id,
    role: pair.role,
    subscriptionId: pair.role === 'provider' ? pair.offerId : pair.demandId,
    offerId: pair.offerId,
    demandId: pair.demandId,
    ownerId: pair.ownerId,
    peerId: pair.peerId,
    issuer: facts.issuer,
    state: facts.state,
    properties: facts.properties,
    constraints: facts.constraints,
    creationTs: facts.creationTs,
    expirationTs: facts.expirationTs,
    createdUs: facts.createdUs,
    prevId: facts.prevId,
    isCountered: false,
  }
}

/** The offer as a requestor's first event: its content, issued by the provider, under an id of our own. */
export function initialProposal(demand: Subscription, offer: SignedOffer, createdUs: InstantUs): ProposalRecord {
  const pair: Pair = {
    role: 'requestor',
    offerId: offer.id,
    demandId: demand.id,
    ownerId: demand.nodeId,
    peerId: offer.nodeId,
  }
  return newProposal(pair, {
    issuer: 'peer',
    state: 'Initial',
    prevId: null,
    properties: offer.properties,
    constraints: offer.constraints,
    expirationTs: earlier(offer.expirationTs, demand.expirationTs),
    createdUs,
  })
}

/** Whether an id that came from outside is the hash of the pair and the creation it came with. */
export function isProposalIdOf(id: ProposalId, pair: Pair, creationTs: string): boolean {
  return id.slice(2) === proposalHash(idsOf(pair, creationTs))
}

/** Checks, as the original does at each counter, that a proposal matches the one it answers. Returns what fails. */
export function mismatchWith(role: Role, own: Content, other: Content): string | undefined {
  const [demand, offer] = role === 'requestor' ? [own, other] : [other, own]
  return mismatchOf(compileContent(demand), compileContent(offer), 'demand')
}

/** The wire form of a proposal. */
export function proposalToWire(proposal: ProposalRecord): ProposalContent {
  const id = parseProposalId(proposal.id)
  if (!id) throw new MarketError('bad-id', `proposal id ${proposal.id} is malformed`, { id: proposal.id })
  return {
    proposal_id: id,
    properties: proposal.properties,
    constraints: proposal.constraints,
    creation_ts: proposal.creationTs,
    expiration_ts: proposal.expirationTs,
  }
}

/** The ids of a pair that were checked where they came in, as core's hashes want them. */
export function idsOf(pair: Pick<Pair, 'offerId' | 'demandId'>, createdAt: string) {
  return { offerId: pair.offerId as SubscriptionId, demandId: pair.demandId as SubscriptionId, createdAt }
}
