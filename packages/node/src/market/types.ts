/**
 * The nouns of the market, what it needs from others (`MarketDeps`) and what it gives (`Market`).
 */
import type { Bus } from '@emet/bus'
import type {
  AbortOptions,
  Agreement,
  AgreementListEntry,
  AgreementOperationEvent,
  AgreementState,
  AgreementTerminatedEvent,
  Clock,
  Demand,
  InstantUs,
  Logger,
  NodeId,
  Offer,
  OfferEvent,
  Proposal,
  Random,
  Reason,
  RequestorEvent,
  Role,
  Service,
  Unregister,
} from '@emet/core'
import type { Net } from '@emet/net'
import type { Signer } from '../identity/index.ts'
import type { Database } from '../store/index.ts'

/** What the market needs. `net` only to know the peers: messages travel by `bus`. */
export type MarketDeps = {
  readonly bus: Bus
  readonly net: Pick<Net, 'nodeId' | 'peers' | 'peersWith' | 'onPeerChange'>
  readonly signer: Signer
  readonly db: Database
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** What a subscription publishes: an offer (of a provider) or a demand (of a requestor). */
export type SubscriptionKind = 'offer' | 'demand'

/** Properties as flat JSON text, exactly as hashed and transmitted, and constraints. */
export type Content = { readonly properties: string; readonly constraints: string }

/** An offer or demand as it is hashed, sent and stored. Timestamps are the naive texts that went into the hash. */
export type Publication = Content & {
  readonly id: string
  readonly nodeId: NodeId
  readonly creationTs: string
  readonly expirationTs: string
}

/** An offer with its issuer's signature over id and times (hex of 65 bytes `v || r || s`). */
export type SignedOffer = Publication & { readonly signature: string }

/** An offer or demand of one of our identities. */
export type Subscription = Publication & {
  readonly kind: SubscriptionKind
  readonly createdUs: InstantUs
  readonly expiresUs: InstantUs
  /** When it was unsubscribed, if it was. */
  readonly endedUs: InstantUs | null
  /** Offers only. */
  readonly signature: string | null
}

export type ProposalState = 'Initial' | 'Draft' | 'Rejected' | 'Accepted'

/** One draft of a negotiation, as one side keeps it. `id` carries that side's prefix (`R-` or `P-`). */
export type ProposalRecord = Content & {
  readonly id: string
  readonly role: Role
  /** Our own subscription: the demand on the requestor's side, the offer on the provider's. */
  readonly subscriptionId: string
  readonly offerId: string
  readonly demandId: string
  readonly ownerId: NodeId
  readonly peerId: NodeId
  readonly issuer: 'own' | 'peer'
  readonly state: ProposalState
  readonly creationTs: string
  readonly expirationTs: string
  readonly createdUs: InstantUs
  readonly prevId: string | null
  readonly isCountered: boolean
}

/** The states of an agreement, as its parties keep them. `Approving` shows as `Pending`. */
export type AgreementRecordState = AgreementState | 'Approving'

/** An agreement as one of its parties keeps it. A daemon with both parties has two records. */
export type AgreementRecord = {
  /** 64 hex digits; both parties have the same. */
  readonly agreementId: string
  readonly role: Role
  readonly ownerId: NodeId
  readonly peerId: NodeId
  readonly offerId: string
  readonly demandId: string
  readonly offer: Content
  readonly demand: Content
  /** The provider's proposal that was accepted, with our prefix. */
  readonly proposalId: string
  readonly creationTs: string
  readonly createdUs: InstantUs
  readonly validToUs: InstantUs
  readonly state: AgreementRecordState
  readonly approvedUs: InstantUs | null
  readonly appSessionId: string | null
  readonly reason: Reason | null
  readonly terminator: Role | null
  /** A message about it may or may not have arrived; to be settled with the peer. */
  readonly isInDoubt: boolean
}

/** What activity and payment learn about an agreement. */
export type AgreementView = {
  readonly agreementId: string
  readonly role: Role
  readonly ownerId: NodeId
  readonly peerId: NodeId
  readonly providerId: NodeId
  readonly requestorId: NodeId
  readonly state: AgreementState
  /** Flat properties. */
  readonly offer: Offer
  readonly demand: Demand
  readonly createdUs: InstantUs
  readonly validToUs: InstantUs
  readonly approvedUs?: InstantUs
  readonly appSessionId?: string
}

export type AgreementChange = {
  readonly kind: 'approved' | 'rejected' | 'cancelled' | 'terminated'
  readonly agreement: AgreementView
  /** Who ended it, of `terminated`. */
  readonly terminator?: Role
  readonly reason?: Reason
}

/** The request to subscribe or to counter: properties nested or flat, and constraints. */
export type Draft = { readonly properties: Readonly<Record<string, unknown>>; readonly constraints: string }

export type PollOptions = AbortOptions & { readonly timeoutMs: number; readonly maxEvents: number }

export type AgreementFilter = {
  readonly state?: AgreementState | undefined
  /** Strictly before and after, by creation. */
  readonly beforeUs?: InstantUs | undefined
  readonly afterUs?: InstantUs | undefined
  readonly appSessionId?: string | undefined
}

/** Subscriptions and negotiations of agents. `owner` is the identity of the calling agent. */
export interface Negotiations {
  /** Publishes; returns the subscription id. */
  subscribe(kind: SubscriptionKind, owner: NodeId, draft: Draft): Promise<string>
  offers(owner: NodeId): Offer[]
  demands(owner: NodeId): Demand[]
  unsubscribe(kind: SubscriptionKind, owner: NodeId, id: string): void
  /** Takes events from the subscription's queue; waits until there is one. */
  offerEvents(owner: NodeId, id: string, options: PollOptions): Promise<OfferEvent[]>
  demandEvents(owner: NodeId, id: string, options: PollOptions): Promise<RequestorEvent[]>
  /** Answers the other side's proposal; returns the new proposal's id once the other side has it. */
  counter(kind: SubscriptionKind, owner: NodeId, id: string, proposalId: string, draft: Draft): Promise<string>
  proposal(kind: SubscriptionKind, owner: NodeId, id: string, proposalId: string): Proposal
  reject(kind: SubscriptionKind, owner: NodeId, id: string, proposalId: string, reason: Reason | null): Promise<void>
}

/** The life of agreements. `owner` is the identity of the calling agent. */
export interface Agreements {
  /** The agreement if `owner` is a party of it. */
  get(agreementId: string, owner: NodeId): AgreementView | undefined
  create(owner: NodeId, proposalId: string, validToUs: InstantUs): string
  confirm(owner: NodeId, agreementId: string, appSessionId: string | null): Promise<void>
  /** Resolves when approved; throws with the state otherwise. */
  wait(owner: NodeId, agreementId: string, options: AbortOptions & { timeoutMs: number }): Promise<void>
  cancel(owner: NodeId, agreementId: string, reason: Reason | null): Promise<void>
  /** Resolves when the requestor has committed. */
  approve(
    owner: NodeId,
    agreementId: string,
    options: AbortOptions & { timeoutMs: number; appSessionId: string | null },
  ): Promise<void>
  reject(owner: NodeId, agreementId: string, reason: Reason | null): Promise<void>
  terminate(owner: NodeId, agreementId: string, reason: Reason | null): Promise<void>
  document(owner: NodeId, agreementId: string): Agreement
  list(owner: NodeId, filter: AgreementFilter): AgreementListEntry[]
  termination(owner: NodeId, agreementId: string): AgreementTerminatedEvent
  events(
    owner: NodeId,
    options: PollOptions & { afterUs: InstantUs; appSessionId?: string | undefined },
  ): Promise<AgreementOperationEvent[]>
}

export interface Scans {
  start(
    owner: NodeId,
    request: { type: SubscriptionKind; timeoutMs?: number | undefined; constraints?: string | undefined },
  ): string
  collect(owner: NodeId, id: string, options: PollOptions & { peerId?: NodeId | undefined }): Promise<Offer[]>
  /** Offers as they come, until the signal aborts or the scan ends. */
  stream(owner: NodeId, id: string, options: AbortOptions): AsyncIterable<Offer>
  stop(owner: NodeId, id: string): void
}

/** A count by text; keys beyond the limit are summed under `other`. */
export type Tally = Readonly<Record<string, number>>

/** Where the counterparts of one subscription went. */
export type Funnel = {
  readonly subscriptionId: string
  readonly kind: SubscriptionKind
  /** Offers (of a demand) or initial proposals (of an offer) that were looked at. */
  readonly seen: number
  /** Not taken, by the condition that failed. */
  readonly dropped: Tally
  readonly matched: number
  readonly countered: number
  readonly counteredByPeer: number
  /** By reason. */
  readonly rejected: Tally
  readonly rejectedByPeer: Tally
  readonly agreementsProposed: number
  readonly agreementsSigned: number
  readonly agreementsLost: Tally
}

export interface Market extends Service {
  readonly negotiations: Negotiations
  readonly agreements: Agreements
  readonly scans: Scans
  /** Why a subscription gets what it gets. Undefined when it is not this identity's, or forgotten. */
  explain(owner: NodeId, subscriptionId: string): Funnel | undefined
  funnels(owner: NodeId): Funnel[]
  /** The live offers that this node knows, of any provider, in the order they became known. */
  knownOffers(constraints?: string): Offer[]
  /** Calls `listener` after each change of an agreement, once it is stored. */
  onAgreement(listener: (change: AgreementChange) => void): Unregister
}
