import {
  EventStream,
  type emetMarketApi,
  type marketApi,
  RestError,
  type RouteHandlers,
  type ServerEvent,
} from '@emet/api'
import type { Offer } from '@emet/core'
import { MarketError, type MarketErrorCode } from './errors.ts'
import type { Funnel, Market, SubscriptionKind } from './types.ts'

type Statuses = Partial<Record<MarketErrorCode, number>>

/** How failures are answered unless a route says otherwise. REST 2.3. */
const STATUSES: Readonly<Record<MarketErrorCode, number>> = {
  'bad-id': 400,
  'bad-content': 400,
  'bad-request': 400,
  'subscription-not-found': 404,
  'subscription-ended': 404,
  'subscription-expired': 404,
  'proposal-not-found': 404,
  'own-proposal': 400,
  'already-countered': 410,
  'not-matching': 400,
  'proposal-rejected': 400,
  'no-negotiation': 400,
  'agreement-exists': 409,
  'agreement-not-found': 404,
  'wrong-state': 410,
  'agreement-expired': 410,
  timeout: 408,
  'peer-unreachable': 500,
  'peer-refused': 500,
  'scan-not-found': 404,
  'scan-of-another': 403,
  limit: 400,
  'bad-offer': 400,
  stopped: 500,
}

const COUNTER: Statuses = { 'subscription-ended': 400, 'subscription-expired': 410 }
const REJECT: Statuses = { 'subscription-ended': 400, 'subscription-expired': 400, 'proposal-not-found': 500 }
const CREATE: Statuses = { 'proposal-not-found': 400, 'already-countered': 400, 'subscription-ended': 400 }
const APPROVE: Statuses = { timeout: 500 }
const END_OFFER: Statuses = { 'subscription-ended': 410, 'subscription-expired': 410 }

/** The market API over a market. REST 2.3 and 6 have the facts. */
export function createMarketRoutes(market: Market): RouteHandlers<typeof marketApi> {
  return { ...subscriptionRoutes(market), ...proposalRoutes(market), ...agreementRoutes(market), ...scanRoutes(market) }
}

type Subscriptions =
  | 'createDemand'
  | 'listDemands'
  | 'deleteDemand'
  | 'getDemandEvents'
  | 'createOffer'
  | 'listOffers'
  | 'deleteOffer'
  | 'getOfferEvents'

function subscriptionRoutes({ negotiations }: Market): Pick<RouteHandlers<typeof marketApi>, Subscriptions> {
  return {
    createDemand: ({ caller, body }) => answer(() => negotiations.subscribe('demand', caller.nodeId, body)),
    createOffer: ({ caller, body }) => answer(() => negotiations.subscribe('offer', caller.nodeId, body)),
    listDemands: ({ caller }) => answer(() => negotiations.demands(caller.nodeId)),
    listOffers: ({ caller }) => answer(() => negotiations.offers(caller.nodeId)),
    deleteDemand: ({ caller, params }) =>
      answer(() => done(negotiations.unsubscribe('demand', caller.nodeId, params.subscriptionId))),
    deleteOffer: ({ caller, params }) =>
      answer(() => done(negotiations.unsubscribe('offer', caller.nodeId, params.subscriptionId)), END_OFFER),
    getDemandEvents: ({ caller, params, query, signal }) =>
      answer(() => negotiations.demandEvents(caller.nodeId, params.subscriptionId, pollOf(query, signal))),
    getOfferEvents: ({ caller, params, query, signal }) =>
      answer(() => negotiations.offerEvents(caller.nodeId, params.subscriptionId, pollOf(query, signal))),
  }
}

type Proposals =
  | 'counterOfferProposal'
  | 'counterDemandProposal'
  | 'getDemandProposal'
  | 'getOfferProposal'
  | 'rejectOfferProposal'
  | 'rejectDemandProposal'

function proposalRoutes({ negotiations }: Market): Pick<RouteHandlers<typeof marketApi>, Proposals> {
  type Ids = { subscriptionId: string; proposalId: string }
  const idsOf = (
    kind: SubscriptionKind,
    { caller, params }: { caller: { nodeId: Parameters<typeof negotiations.offers>[0] }; params: Ids },
  ) => [kind, caller.nodeId, params.subscriptionId, params.proposalId] as const
  return {
    counterOfferProposal: (request) =>
      answer(() => negotiations.counter(...idsOf('demand', request), request.body), COUNTER),
    counterDemandProposal: (request) =>
      answer(() => negotiations.counter(...idsOf('offer', request), request.body), COUNTER),
    getDemandProposal: (request) => answer(() => negotiations.proposal(...idsOf('demand', request))),
    getOfferProposal: (request) => answer(() => negotiations.proposal(...idsOf('offer', request))),
    rejectOfferProposal: (request) =>
      answer(async () => done(await negotiations.reject(...idsOf('demand', request), request.body)), REJECT),
    rejectDemandProposal: (request) =>
      answer(async () => done(await negotiations.reject(...idsOf('offer', request), request.body)), REJECT),
  }
}

type AgreementNames =
  | 'listAgreements'
  | 'getAgreement'
  | 'getAgreementEvents'
  | 'terminateAgreement'
  | 'getTerminateReason'
  | 'createAgreement'
  | 'confirmAgreement'
  | 'waitForApproval'
  | 'cancelAgreement'
  | 'approveAgreement'
  | 'rejectAgreement'

function agreementRoutes({ agreements }: Market): Pick<RouteHandlers<typeof marketApi>, AgreementNames> {
  return {
    listAgreements: ({ caller, query }) =>
      answer(() =>
        agreements.list(caller.nodeId, {
          state: query.state,
          beforeUs: query.beforeDate,
          afterUs: query.afterDate,
          appSessionId: query.appSessionId,
        }),
      ),
    getAgreement: ({ caller, params }) => answer(() => agreements.document(caller.nodeId, params.agreementId)),
    getAgreementEvents: ({ caller, query, signal }) =>
      answer(() => {
        const { afterTimestamp: afterUs, appSessionId } = query
        return agreements.events(caller.nodeId, { ...pollOf(query, signal), afterUs, appSessionId })
      }),
    getTerminateReason: ({ caller, params }) => answer(() => agreements.termination(caller.nodeId, params.agreementId)),
    createAgreement: ({ caller, body }) =>
      answer(() => agreements.create(caller.nodeId, body.proposalId, body.validTo), CREATE),
    confirmAgreement: ({ caller, params, query }) =>
      answer(async () => done(await agreements.confirm(caller.nodeId, params.agreementId, query.appSessionId ?? null))),
    waitForApproval: ({ caller, params, query, signal }) =>
      answer(async () =>
        done(await agreements.wait(caller.nodeId, params.agreementId, { timeoutMs: query.timeout * 1000, signal })),
      ),
    cancelAgreement: ({ caller, params, body }) =>
      answer(async () => done(await agreements.cancel(caller.nodeId, params.agreementId, body))),
    approveAgreement: ({ caller, params, query, signal }) =>
      answer(async () => {
        const options = { timeoutMs: query.timeout * 1000, appSessionId: query.appSessionId ?? null, signal }
        return done(await agreements.approve(caller.nodeId, params.agreementId, options))
      }, APPROVE),
    rejectAgreement: ({ caller, params, body }) =>
      answer(async () => done(await agreements.reject(caller.nodeId, params.agreementId, body))),
    terminateAgreement: ({ caller, params, body }) =>
      answer(async () => done(await agreements.terminate(caller.nodeId, params.agreementId, body))),
  }
}

function scanRoutes({
  scans,
}: Market): Pick<RouteHandlers<typeof marketApi>, 'createScan' | 'getScanEvents' | 'deleteScan'> {
  return {
    createScan: ({ caller, body }) =>
      answer(() => {
        const timeoutMs = body.timeout === undefined ? undefined : body.timeout * 1000
        return scans.start(caller.nodeId, { type: body.type, timeoutMs, constraints: body.constraints })
      }),
    getScanEvents: async ({ caller, params, query, signal, wantsEvents }) => {
      const { scanId } = params
      if (wantsEvents) {
        // Fails with a status as long as nothing was sent.
        await answer(() => scans.collect(caller.nodeId, scanId, { timeoutMs: 0, maxEvents: 0, signal }))
        return new EventStream(offerEvents(scans.stream(caller.nodeId, scanId, { signal })))
      }
      const isRemote = query.peerId !== undefined
      return answer(
        () => scans.collect(caller.nodeId, scanId, { ...pollOf(query, signal), peerId: query.peerId }),
        isRemote ? { 'peer-unreachable': 502, timeout: 504 } : {},
      )
    },
    deleteScan: ({ caller, params }) => answer(() => done(scans.stop(caller.nodeId, params.scanId))),
  }
}

async function* offerEvents(offers: AsyncIterable<Offer>): AsyncIterable<ServerEvent> {
  for await (const offer of offers) yield { event: 'offer', data: offer }
}

/** Our own API: what this node knows of the market, and why a subscription finds what it finds. */
export function createEmetMarketRoutes(market: Market): RouteHandlers<typeof emetMarketApi> {
  return {
    listKnownOffers: ({ query }) =>
      answer(() => market.knownOffers(query.constraints).slice(0, query.maxItems ?? undefined)),
    explain: ({ caller, params }) =>
      answer(() => {
        const funnel = market.explain(caller.nodeId, params.demandId)
        if (funnel) return explanationOf(funnel)
        throw new MarketError('subscription-not-found', `Subscription [${params.demandId}] not found.`, params)
      }),
  }
}

function explanationOf(funnel: Funnel) {
  const tallies = [
    ['dropped', funnel.dropped],
    ['rejected by us', funnel.rejected],
    ['rejected by the other side', funnel.rejectedByPeer],
    ['agreement lost', funnel.agreementsLost],
  ] as const
  const reasons = tallies.flatMap(([step, tally]) =>
    Object.entries(tally).map(([message, offers]) => ({ step, message, offers, examples: [] })),
  )
  return {
    demandId: funnel.subscriptionId,
    steps: [
      { name: 'seen', offers: funnel.seen },
      { name: 'matched', offers: funnel.matched },
      { name: 'countered by us', offers: funnel.countered },
      { name: 'countered by the other side', offers: funnel.counteredByPeer },
      { name: 'agreement proposed', offers: funnel.agreementsProposed },
      { name: 'agreement signed', offers: funnel.agreementsSigned },
    ],
    reasons: reasons.sort((a, b) => b.offers - a.offers),
  }
}

function pollOf(query: { timeout: number; maxEvents: number }, signal: AbortSignal) {
  return { timeoutMs: query.timeout * 1000, maxEvents: query.maxEvents, signal }
}

/** Nothing to say. */
function done(_nothing: unknown): undefined {
  return undefined
}

/** Runs `work` and turns the market's errors into documented answers. */
async function answer<T>(work: () => T | Promise<T>, statuses: Statuses = {}): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof MarketError)) throw error
    throw new RestError(statusOf(error, statuses), error.message, { cause: error })
  }
}

function statusOf(error: MarketError, statuses: Statuses): number {
  // REST 6.2: the refusal of a move depends on the state the agreement is in.
  if (error.code === 'wrong-state' && error.facts['state'] === 'Proposal') return 409
  if (error.code === 'peer-unreachable' && error.facts['busCode'] === 'timeout' && statuses.timeout === 504) return 504
  return statuses[error.code] ?? STATUSES[error.code]
}
