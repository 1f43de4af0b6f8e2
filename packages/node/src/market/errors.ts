import { CodedError } from '@emet/core'

export type MarketErrorCode =
  /** An id in the request does not have the documented form. */
  | 'bad-id'
  /** Properties or constraints cannot be read, or are larger than their limit. */
  | 'bad-content'
  /** A parameter is outside its range. */
  | 'bad-request'
  /** No such subscription of this identity: unknown, unsubscribed or expired. */
  | 'subscription-not-found'
  /** The offer or demand of this negotiation was unsubscribed. */
  | 'subscription-ended'
  | 'subscription-expired'
  | 'proposal-not-found'
  /** An agent acted on its own proposal; only the other side may answer it. */
  | 'own-proposal'
  | 'already-countered'
  /** The proposal does not match the one it answers. */
  | 'not-matching'
  | 'proposal-rejected'
  /** An agreement needs at least one counter-proposal of the provider. */
  | 'no-negotiation'
  | 'agreement-exists'
  | 'agreement-not-found'
  /** The agreement's state (in `facts.state`) does not allow this. */
  | 'wrong-state'
  | 'agreement-expired'
  /** The awaited thing did not happen in time. */
  | 'timeout'
  /** The other node could not be reached, or did not answer. Nothing was changed, or it is being reconciled. */
  | 'peer-unreachable'
  /** The other node answered with an error. */
  | 'peer-refused'
  | 'scan-not-found'
  | 'scan-of-another'
  /** A limit of this daemon is reached; the message says which. */
  | 'limit'
  /** An offer of another node is forged, expired or malformed. */
  | 'bad-offer'
  | 'stopped'

/** The market refused, or could not do it. Nothing was changed unless the message says so. */
export class MarketError extends CodedError<MarketErrorCode> {}
