import type { Database } from '../store/index.ts'
import { type AgreementStore, createAgreementStore } from './agreement-store.ts'
import { createProposalStore, type ProposalStore } from './proposal-store.ts'
import { createSubscriptionStore, type SubscriptionStore } from './subscription-store.ts'

/**
 * What the market keeps on disk. Subscriptions with their proposals and queued events go `SUBSCRIPTION_KEPT_MS` after
 * they ended; agreements that are over go `AGREEMENT_KEPT_MS` after `validTo`, with their events.
 */
export interface MarketStore {
  readonly subscriptions: SubscriptionStore
  readonly proposals: ProposalStore
  readonly agreements: AgreementStore
  transaction<T>(work: () => T): T
}

const MIGRATIONS = [
  `CREATE TABLE market_subscription (
     id TEXT PRIMARY KEY, kind TEXT NOT NULL, node_id TEXT NOT NULL, properties TEXT NOT NULL,
     constraints TEXT NOT NULL, creation_ts TEXT NOT NULL, expiration_ts TEXT NOT NULL, created_us INTEGER NOT NULL,
     expires_us INTEGER NOT NULL, ended_us INTEGER, signature TEXT) STRICT;
   CREATE INDEX market_subscription_expires ON market_subscription (expires_us);
   CREATE TABLE market_proposal (
     id TEXT PRIMARY KEY, role TEXT NOT NULL, subscription_id TEXT NOT NULL, offer_id TEXT NOT NULL,
     demand_id TEXT NOT NULL, owner_id TEXT NOT NULL, peer_id TEXT NOT NULL, issuer TEXT NOT NULL, state TEXT NOT NULL,
     properties TEXT NOT NULL, constraints TEXT NOT NULL, creation_ts TEXT NOT NULL, expiration_ts TEXT NOT NULL,
     created_us INTEGER NOT NULL, prev_id TEXT, is_countered INTEGER NOT NULL) STRICT;
   CREATE INDEX market_proposal_pair ON market_proposal (subscription_id, offer_id, peer_id);
   CREATE INDEX market_proposal_prev ON market_proposal (prev_id);
   CREATE TABLE market_event (
     seq INTEGER PRIMARY KEY AUTOINCREMENT, subscription_id TEXT NOT NULL, kind TEXT NOT NULL,
     subject_id TEXT NOT NULL, reason TEXT, at_us INTEGER NOT NULL) STRICT;
   CREATE INDEX market_event_subscription ON market_event (subscription_id);
   CREATE TABLE market_agreement (
     agreement_id TEXT NOT NULL, role TEXT NOT NULL, owner_id TEXT NOT NULL, peer_id TEXT NOT NULL,
     offer_id TEXT NOT NULL, demand_id TEXT NOT NULL, offer_properties TEXT NOT NULL, offer_constraints TEXT NOT NULL,
     demand_properties TEXT NOT NULL, demand_constraints TEXT NOT NULL, proposal_id TEXT NOT NULL,
     creation_ts TEXT NOT NULL, created_us INTEGER NOT NULL, valid_to_us INTEGER NOT NULL, state TEXT NOT NULL,
     approved_us INTEGER, app_session_id TEXT, reason TEXT, terminator TEXT, in_doubt INTEGER NOT NULL,
     PRIMARY KEY (agreement_id, role)) STRICT;
   CREATE INDEX market_agreement_owner ON market_agreement (owner_id, created_us);
   CREATE INDEX market_agreement_proposal ON market_agreement (proposal_id);
   CREATE INDEX market_agreement_peer ON market_agreement (peer_id, state);
   CREATE INDEX market_agreement_open ON market_agreement (valid_to_us) WHERE state IN ('Proposal', 'Pending', 'Approving');
   CREATE INDEX market_agreement_unsettled ON market_agreement (state) WHERE in_doubt = 1 OR state = 'Approving';
   CREATE TABLE market_agreement_event (
     at_us INTEGER PRIMARY KEY, agreement_id TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, terminator TEXT,
     reason TEXT) STRICT;
   CREATE INDEX market_agreement_event_agreement ON market_agreement_event (agreement_id, role);`,
]

/** Opens the market's tables in the daemon's database. */
export function createMarketStore(db: Database): MarketStore {
  db.migrate('market', MIGRATIONS)
  return {
    subscriptions: createSubscriptionStore(db),
    proposals: createProposalStore(db),
    agreements: createAgreementStore(db),
    transaction: (work) => db.transaction(work),
  }
}
