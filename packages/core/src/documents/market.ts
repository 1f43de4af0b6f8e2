/** Market documents. Golem wire: spec/rest-api.md §3.2. */
import { z } from 'zod'
import { nodeIdSchema } from '../ids.ts'
import { instantSchema, maybe, nullable, shortTextSchema } from './wire.ts'

/** Largest constraints text taken, in characters. */
export const CONSTRAINTS_LENGTH_MAX = 65_536

/** Properties as posted: nested or flat. They are stored and returned flat. */
export const propertiesSchema = z.record(z.string(), z.unknown())

/** What a client posts as an offer, a demand or a counter-proposal. */
export const demandOfferBaseSchema = z
  .object({ properties: propertiesSchema, constraints: z.string().max(CONSTRAINTS_LENGTH_MAX) })
  .meta({ id: 'DemandOfferBase' })
export type DemandOfferBase = z.output<typeof demandOfferBaseSchema>

/** A requestor's demand, published on the market. */
export const demandSchema = z
  .object({
    ...demandOfferBaseSchema.shape,
    demandId: z.string(),
    requestorId: nodeIdSchema,
    timestamp: instantSchema,
  })
  .meta({ id: 'Demand' })
export type Demand = z.output<typeof demandSchema>

/** A provider's offer, published on the market. */
export const offerSchema = z
  .object({
    ...demandOfferBaseSchema.shape,
    offerId: z.string(),
    providerId: nodeIdSchema,
    timestamp: instantSchema,
  })
  .meta({ id: 'Offer' })
export type Offer = z.output<typeof offerSchema>

export const PROPOSAL_STATES = ['Initial', 'Draft', 'Rejected', 'Accepted', 'Expired'] as const
export type ProposalState = (typeof PROPOSAL_STATES)[number]

/** One draft of a negotiation, by `issuerId`. */
export const proposalSchema = z
  .object({
    ...demandOfferBaseSchema.shape,
    proposalId: z.string(),
    issuerId: nodeIdSchema,
    state: z.enum(PROPOSAL_STATES),
    timestamp: instantSchema,
    prevProposalId: maybe(z.string()),
  })
  .meta({ id: 'Proposal' })
export type Proposal = z.output<typeof proposalSchema>

/** Why something was rejected, cancelled or terminated. Keys beside `message` are kept, such as `golem.requestor.code`. */
export const reasonSchema = z
  .looseObject({ message: z.string().max(65_536) })
  .meta({ id: 'Reason', description: 'Further keys are kept, e.g. golem.requestor.code' })
export type Reason = z.output<typeof reasonSchema>

/** The request to make an agreement of a proposal. `validTo` is the deadline of its approval. */
export const agreementProposalSchema = z
  .object({ proposalId: shortTextSchema, validTo: instantSchema })
  .meta({ id: 'AgreementProposal' })
export type AgreementProposal = z.output<typeof agreementProposalSchema>

/** The states a client sees. Internally there is also `Approving`, which shows as `Pending`. */
export const AGREEMENT_STATES = [
  'Proposal',
  'Pending',
  'Cancelled',
  'Rejected',
  'Approved',
  'Expired',
  'Terminated',
] as const
export type AgreementState = (typeof AGREEMENT_STATES)[number]

/** The contract between a requestor and a provider: the final demand and offer, and its state. */
export const agreementSchema = z
  .object({
    agreementId: z.string(),
    demand: demandSchema,
    offer: offerSchema,
    validTo: instantSchema,
    approvedDate: maybe(instantSchema),
    state: z.enum(AGREEMENT_STATES),
    timestamp: instantSchema,
    appSessionId: maybe(z.string()),
    proposedSignature: maybe(z.string()),
    approvedSignature: maybe(z.string()),
    committedSignature: maybe(z.string()),
  })
  .meta({ id: 'Agreement' })
export type Agreement = z.output<typeof agreementSchema>

/** The roles as market documents spell them. */
export const MARKET_ROLES = ['Provider', 'Requestor'] as const
export type MarketRole = (typeof MARKET_ROLES)[number]

export const agreementListEntrySchema = z
  .object({
    id: z.string(),
    timestamp: instantSchema,
    approvedDate: nullable(instantSchema),
    role: z.enum(MARKET_ROLES),
  })
  .meta({ id: 'AgreementListEntry' })
export type AgreementListEntry = z.output<typeof agreementListEntrySchema>

const proposalEventSchema = z.object({
  eventType: z.literal('ProposalEvent'),
  eventDate: instantSchema,
  proposal: proposalSchema,
})
const proposalRejectedEventSchema = z.object({
  eventType: z.literal('ProposalRejectedEvent'),
  eventDate: instantSchema,
  proposalId: z.string(),
  reason: maybe(reasonSchema),
})
const agreementEventSchema = z.object({
  eventType: z.literal('AgreementEvent'),
  eventDate: instantSchema,
  agreement: agreementSchema,
})

/** An event of a demand. Each is delivered once. */
export const requestorEventSchema = z
  .discriminatedUnion('eventType', [proposalEventSchema, proposalRejectedEventSchema])
  .meta({ id: 'RequestorEvent' })
export type RequestorEvent = z.output<typeof requestorEventSchema>

/** An event of an offer. Each is delivered once. (The provider events of activities are `ProviderEvent`.) */
export const offerEventSchema = z
  .discriminatedUnion('eventType', [proposalEventSchema, proposalRejectedEventSchema, agreementEventSchema])
  .meta({ id: 'OfferEvent' })
export type OfferEvent = z.output<typeof offerEventSchema>

const agreementOperation = { eventDate: instantSchema, agreementId: z.string() }
const withReason = { ...agreementOperation, reason: maybe(reasonSchema) }

export const agreementTerminatedEventSchema = z
  .object({
    eventType: z.literal('AgreementTerminatedEvent'),
    ...withReason,
    terminator: z.enum(MARKET_ROLES),
    signature: z.string(),
  })
  .meta({ id: 'AgreementTerminatedEvent' })
export type AgreementTerminatedEvent = z.output<typeof agreementTerminatedEventSchema>

/** A change of an agreement, for both sides; read with a cursor. */
export const agreementOperationEventSchema = z
  .discriminatedUnion('eventType', [
    z.object({ eventType: z.literal('AgreementApprovedEvent'), ...agreementOperation }),
    z.object({ eventType: z.literal('AgreementRejectedEvent'), ...withReason }),
    z.object({ eventType: z.literal('AgreementCancelledEvent'), ...withReason }),
    agreementTerminatedEventSchema,
  ])
  .meta({ id: 'AgreementOperationEvent' })
export type AgreementOperationEvent = z.output<typeof agreementOperationEventSchema>

/** The request to look through all known offers, outside of any negotiation. */
export const newScanSchema = z
  .object({
    timeout: maybe(z.int().min(0)).describe('Idle seconds after which the scan is dropped. Default 300.'),
    type: z.enum(['offer', 'demand']),
    constraints: maybe(z.string().max(CONSTRAINTS_LENGTH_MAX)),
  })
  .meta({ id: 'NewScan' })
export type NewScan = z.output<typeof newScanSchema>
