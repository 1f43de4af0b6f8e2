/** Every limit of the market module that is not an option: named, with its unit. */

/** Flattened properties of one offer, demand or proposal, as JSON text. */
export const PROPERTIES_BYTES_MAX = 64 * 1024
/** Constraints of one offer, demand or proposal. */
export const CONSTRAINTS_BYTES_MAX = 16 * 1024
/** A reason (of a rejection, cancellation or termination), as JSON text. */
export const REASON_BYTES_MAX = 4 * 1024
/** Ids and timestamps in messages. */
export const TEXT_LENGTH_MAX = 128

/** Active subscriptions (offers and demands together) of one identity. */
export const SUBSCRIPTIONS_MAX = 1_000
/** Proposals kept for one subscription; further matches and initial proposals are refused. */
export const PROPOSALS_PER_SUBSCRIPTION_MAX = 5_000
/** Proposals that one peer may have open with one of our subscriptions. */
export const OPEN_PROPOSALS_PER_PEER_MAX = 64
/** Events that wait for the agent of one subscription. */
export const EVENT_QUEUE_LENGTH_MAX = 2_000
/** Agreements that one peer may have in Pending with us. */
export const PENDING_AGREEMENTS_PER_PEER_MAX = 100
/** Calls of agents that wait (long polls, `wait`, `approve`), all together. */
export const WAITERS_MAX = 10_000

/** The longest wait of one poll. Longer ones are cut. */
export const POLL_TIMEOUT_MS_MAX = 3_600_000

/** How long a peer may take to answer a negotiation message. REST 2.3. */
export const NEGOTIATION_TIMEOUT_MS = 60_000
/** Waits between two attempts to settle an agreement in doubt with the peer. */
export const RECONCILE_DELAYS_MS: readonly number[] = [250, 1_000, 4_000, 15_000, 60_000]
/** How long a peer may take to answer a question about an agreement in doubt. */
export const RECONCILE_TIMEOUT_MS = 10_000
/** Agreements that are being reconciled at the same time. */
export const RECONCILE_MAX = 1_000

/** Subscriptions with their proposals and events are removed this long after they ended. */
export const SUBSCRIPTION_KEPT_MS = 24 * 3_600_000
/** Agreements that are over, and their events, are removed this long after `validTo`. */
export const AGREEMENT_KEPT_MS = 90 * 24 * 3_600_000
/** How often removable rows are looked for. */
export const CLEANUP_INTERVAL_MS = 600_000

/** Foreign offers that a daemon keeps in memory. */
export const OFFER_BOOK_LENGTH_MAX = 50_000
/** Offers of one provider in one book. */
export const OFFERS_PER_PROVIDER_MAX = 50
/** Scans of one identity. */
export const SCANS_PER_IDENTITY_MAX = 50
/** Scans of all identities. */
export const SCANS_MAX = 500
/** A scan that nobody collects from ends after this time, unless it asks for another. REST 2.3. */
export const SCAN_IDLE_MS = 300_000
/** The longest idle time that a scan may ask for. */
export const SCAN_IDLE_MS_MAX = 24 * 3_600_000
/** Offers in one batch of a scan's stream. REST 2.3. */
export const SCAN_BATCH_LENGTH = 100

/** Ids in one discovery answer (Golem wire: 150), and in one `Get`. */
export const DISCOVERY_PAGE_LENGTH = 150
/** Different conditions and reasons counted per subscription in `market explain`. */
export const FUNNEL_KEYS_MAX = 32
/** Subscriptions whose funnel is remembered. */
export const FUNNELS_MAX = 500
/** Length of a condition or reason in a funnel. */
export const FUNNEL_KEY_LENGTH_MAX = 200
