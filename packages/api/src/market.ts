/** The market API. Golem wire: spec/rest-api.md §2.3. */
import {
  AGREEMENT_STATES,
  agreementListEntrySchema,
  agreementOperationEventSchema,
  agreementProposalSchema,
  agreementSchema,
  agreementTerminatedEventSchema,
  demandOfferBaseSchema,
  demandSchema,
  fromMs,
  instantSchema,
  maybe,
  newScanSchema,
  nodeIdSchema,
  offerEventSchema,
  offerSchema,
  proposalSchema,
  reasonSchema,
  requestorEventSchema,
  shortTextSchema,
} from '@emet/core'
import { z } from 'zod'
import { agreementIdParam, idParam, intQuery, proposalIdParam, secondsQuery, subscriptionIdParam } from './query.ts'
import { defineApi } from './route.ts'

/** Events per answer when the client names no number. */
export const MARKET_EVENTS_DEFAULT = 20
/** Most events per answer; more is a bad request. */
export const MARKET_EVENTS_MAX = 100
/** Offers per answer of a scan when the client names no number. */
export const SCAN_EVENTS_DEFAULT = 500
/** Most offers per answer of a scan; more are cut to it. */
export const SCAN_EVENTS_MAX = 10_000
/** How long a poll waits when the client names no time, in seconds. */
export const POLL_SECONDS_DEFAULT = 5

const subscription = z.object({ subscriptionId: subscriptionIdParam })
const proposal = z.object({ subscriptionId: subscriptionIdParam, proposalId: proposalIdParam })
const agreement = z.object({ agreementId: agreementIdParam })
const scan = z.object({ scanId: idParam })
const wait = { timeout: secondsQuery.default(POLL_SECONDS_DEFAULT) }
const poll = z.object({ ...wait, maxEvents: intQuery(1, MARKET_EVENTS_MAX).default(MARKET_EVENTS_DEFAULT) })
const session = { appSessionId: maybe(shortTextSchema) }

/** `null` or a reason; a body is required. */
const reasonBody = reasonSchema.nullable()

export const marketApi = defineApi({
  base: '/market-api/v1',
  tag: 'market',
  description: 'Offers, demands, negotiation and agreements',
  malformed: { body: 'json', query: 'text', params: 'json-as-text' },
  routes: {
    listAgreements: {
      method: 'GET',
      path: '/agreements',
      summary: "The identity's agreements, in both roles",
      query: z.object({
        state: maybe(z.enum(AGREEMENT_STATES)),
        beforeDate: maybe(instantSchema).describe('Made strictly before'),
        afterDate: maybe(instantSchema).describe('Made strictly after'),
        ...session,
      }),
      success: { status: 200, body: z.array(agreementListEntrySchema) },
      errors: [400],
    },
    getAgreement: {
      method: 'GET',
      path: '/agreements/:agreementId',
      summary: 'One agreement',
      params: agreement,
      success: { status: 200, body: agreementSchema },
      errors: [400, 404],
    },
    getAgreementEvents: {
      method: 'GET',
      path: '/agreementEvents',
      summary: 'Waits for changes of agreements after a cursor',
      query: z.object({
        ...poll.shape,
        afterTimestamp: instantSchema.default(fromMs(Date.UTC(2016, 10, 11, 15, 12))),
        ...session,
      }),
      success: { status: 200, body: z.array(agreementOperationEventSchema) },
      errors: [400],
    },
    terminateAgreement: {
      method: 'POST',
      path: '/agreements/:agreementId/terminate',
      summary: 'Ends an approved agreement; tells the peer first',
      params: agreement,
      body: reasonBody,
      success: { status: 200, body: 'empty' },
      errors: [400, 404, 409, 410],
    },
    getTerminateReason: {
      method: 'GET',
      path: '/agreements/:agreementId/terminate/reason',
      summary: 'Why and by whom an agreement was terminated',
      params: agreement,
      success: { status: 200, body: agreementTerminatedEventSchema },
      errors: [400, 404],
    },
    createScan: {
      method: 'POST',
      path: '/scan',
      summary: 'Starts to look through all known offers',
      body: newScanSchema,
      success: { status: 201, body: z.string() },
      errors: [400],
    },
    getScanEvents: {
      method: 'GET',
      path: '/scan/:scanId/events',
      summary: 'The next offers of a scan',
      params: scan,
      query: z.object({
        ...wait,
        maxEvents: intQuery(0, 2 ** 31 - 1).default(SCAN_EVENTS_DEFAULT),
        peerId: maybe(nodeIdSchema),
      }),
      success: { status: 200, body: z.array(offerSchema) },
      events: offerSchema,
      errors: [400, 403, 404, 410, 502, 504],
    },
    deleteScan: {
      method: 'DELETE',
      path: '/scan/:scanId',
      summary: 'Ends a scan',
      params: scan,
      success: { status: 204, body: 'empty' },
      errors: [403, 404],
    },

    createDemand: {
      method: 'POST',
      path: '/demands',
      summary: 'Publishes a demand; answers its id',
      body: demandOfferBaseSchema,
      success: { status: 201, body: z.string() },
      errors: [400],
    },
    listDemands: {
      method: 'GET',
      path: '/demands',
      summary: "The identity's demands",
      success: { status: 200, body: z.array(demandSchema) },
      errors: [],
    },
    deleteDemand: {
      method: 'DELETE',
      path: '/demands/:subscriptionId',
      summary: 'Withdraws a demand',
      params: subscription,
      success: { status: 204, body: 'empty' },
      errors: [400, 404],
    },
    getDemandEvents: {
      method: 'GET',
      path: '/demands/:subscriptionId/events',
      summary: 'Waits for proposals; each event is delivered once',
      params: subscription,
      query: poll,
      success: { status: 200, body: z.array(requestorEventSchema) },
      errors: [400, 404],
    },
    counterOfferProposal: {
      method: 'POST',
      path: '/demands/:subscriptionId/proposals/:proposalId',
      summary: "Answers a provider's proposal with a counter-proposal; answers its id",
      params: proposal,
      body: demandOfferBaseSchema,
      success: { status: 200, body: z.string() },
      errors: [400, 404, 410],
    },
    getDemandProposal: {
      method: 'GET',
      path: '/demands/:subscriptionId/proposals/:proposalId',
      summary: 'One proposal of a demand',
      params: proposal,
      success: { status: 200, body: proposalSchema },
      errors: [400, 404],
    },
    rejectOfferProposal: {
      method: 'POST',
      path: '/demands/:subscriptionId/proposals/:proposalId/reject',
      summary: "Rejects a provider's proposal",
      params: proposal,
      body: reasonBody,
      success: { status: 204, body: 'empty' },
      errors: [400, 404],
    },
    createAgreement: {
      method: 'POST',
      path: '/agreements',
      summary: 'Makes an agreement of a proposal; answers its id',
      body: agreementProposalSchema,
      success: { status: 200, body: z.string() },
      errors: [400, 409],
    },
    confirmAgreement: {
      method: 'POST',
      path: '/agreements/:agreementId/confirm',
      summary: 'Sends the agreement to the provider',
      params: agreement,
      query: z.object(session),
      success: { status: 204, body: 'empty' },
      errors: [400, 404, 409, 410],
    },
    waitForApproval: {
      method: 'POST',
      path: '/agreements/:agreementId/wait',
      summary: 'Waits until the provider has approved (204) or not (410, 408)',
      params: agreement,
      query: z.object(wait),
      success: { status: 204, body: 'empty' },
      errors: [400, 404, 408, 410],
    },
    cancelAgreement: {
      method: 'POST',
      path: '/agreements/:agreementId/cancel',
      summary: 'Takes an agreement back before it is approved',
      params: agreement,
      body: reasonBody,
      success: { status: 200, body: 'empty' },
      errors: [400, 404, 409, 410],
    },

    createOffer: {
      method: 'POST',
      path: '/offers',
      summary: 'Publishes an offer; answers its id',
      body: demandOfferBaseSchema,
      success: { status: 201, body: z.string() },
      errors: [400, 410],
    },
    listOffers: {
      method: 'GET',
      path: '/offers',
      summary: "The identity's offers",
      success: { status: 200, body: z.array(offerSchema) },
      errors: [],
    },
    deleteOffer: {
      method: 'DELETE',
      path: '/offers/:subscriptionId',
      summary: 'Withdraws an offer',
      params: subscription,
      success: { status: 204, body: 'empty' },
      errors: [400, 404, 410],
    },
    getOfferEvents: {
      method: 'GET',
      path: '/offers/:subscriptionId/events',
      summary: 'Waits for proposals and agreements; each event is delivered once',
      params: subscription,
      query: poll,
      success: { status: 200, body: z.array(offerEventSchema) },
      errors: [400, 404],
    },
    counterDemandProposal: {
      method: 'POST',
      path: '/offers/:subscriptionId/proposals/:proposalId',
      summary: "Answers a requestor's proposal with a counter-proposal; answers its id",
      params: proposal,
      body: demandOfferBaseSchema,
      success: { status: 200, body: z.string() },
      errors: [400, 404, 410],
    },
    getOfferProposal: {
      method: 'GET',
      path: '/offers/:subscriptionId/proposals/:proposalId',
      summary: 'One proposal of an offer',
      params: proposal,
      success: { status: 200, body: proposalSchema },
      errors: [400, 404],
    },
    rejectDemandProposal: {
      method: 'POST',
      path: '/offers/:subscriptionId/proposals/:proposalId/reject',
      summary: "Rejects a requestor's proposal",
      params: proposal,
      body: reasonBody,
      success: { status: 204, body: 'empty' },
      errors: [400, 404],
    },
    approveAgreement: {
      method: 'POST',
      path: '/agreements/:agreementId/approve',
      summary: "Approves an agreement; waits for the requestor's commitment",
      params: agreement,
      query: z.object({ ...wait, ...session }),
      success: { status: 204, body: 'empty' },
      errors: [400, 404, 409, 410],
    },
    rejectAgreement: {
      method: 'POST',
      path: '/agreements/:agreementId/reject',
      summary: 'Rejects an agreement',
      params: agreement,
      body: reasonBody,
      success: { status: 200, body: 'empty' },
      errors: [400, 404, 409, 410],
    },
  },
})
