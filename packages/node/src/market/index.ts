/**
 * Market: publishes offers and demands, finds what matches, and negotiates until an agreement is approved.
 *
 *     provider agent                   index peers                    requestor agent
 *       POST /offers ──► publisher ──► offer-index ◄── finder ◄────── POST /demands
 *                                           └─ matches ──► offer-book ──► initial proposals ──► events
 *       events ◄── negotiation-handlers ◄── counter-proposals ──────────────────────┘
 *       approve ──► AgreementApproved ──► AgreementCommitted ──► both Approved ──► onAgreement
 *
 * Offers are signed and handed to a few index peers, never flooded; demands stay with the requestor, who asks the index
 * peers and stays subscribed there. Where there is none, directly connected nodes are asked. Proposals and agreements
 * travel between the two parties only, in the original's messages (`protocol.ts`); the sender is proven, and only the
 * counterpart of a negotiation may act in it.
 *
 * All of it is stored before it counts. `start` takes up subscriptions again, settles agreements in doubt with their
 * peers (`agreement-settlement.ts`) and sends again what may not have arrived; `stop` ends all waits.
 */
export { MarketError, type MarketErrorCode } from './errors.ts'
export { createMarket } from './market.ts'
export { createOfferIndex, type OfferIndex, type OfferIndexDeps } from './offer-index.ts'
export {
  type MarketOptions,
  type MarketOptionsInput,
  marketOptionsSchema,
  type OfferIndexOptions,
  type OfferIndexOptionsInput,
  offerIndexOptionsSchema,
} from './options.ts'
export { createEmetMarketRoutes, createMarketRoutes } from './routes.ts'
export type {
  AgreementChange,
  AgreementFilter,
  Agreements,
  AgreementView,
  Draft,
  Funnel,
  Market,
  MarketDeps,
  Negotiations,
  PollOptions,
  Scans,
  SubscriptionKind,
  Tally,
} from './types.ts'
