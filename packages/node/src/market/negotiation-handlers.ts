import { type NodeId, type ProposalId, parseInstant, proposalIdFor, type Reason, type Role } from '@emet/core'
import type { MarketContext } from './context.ts'
import { NO_REASON } from './documents.ts'
import { MarketError } from './errors.ts'
import { EVENT_QUEUE_LENGTH_MAX, OPEN_PROPOSALS_PER_PEER_MAX, PROPOSALS_PER_SUBSCRIPTION_MAX } from './limits.ts'
import { earlier, isProposalIdOf, kindOf, mismatchWith, newProposal, type Pair, receivedProposal } from './proposal.ts'
import { type Message, type ProposalContent, refusals } from './protocol.ts'
import { queueKey } from './queues.ts'
import type { Content, ProposalRecord, Subscription } from './types.ts'

/**
 * What other nodes' proposals do here. The sender is proven; only the counterpart of a negotiation may act in it, and to
 * anybody else a proposal does not exist. A message that was handled already is answered as the first time.
 */
export type NegotiationHandlers = {
  initialProposal(sender: NodeId, message: Message<'InitialProposalReceived'>): void
  proposal(role: Role, sender: NodeId, message: Message<'ProposalReceived'>): void
  rejection(role: Role, sender: NodeId, message: Message<'ProposalRejected'>): void
}

export function createNegotiationHandlers(context: MarketContext): NegotiationHandlers {
  return {
    initialProposal: (sender, message) => onInitialProposal(context, sender, message),
    proposal: (role, sender, message) => onProposal(context, role, sender, message),
    rejection: (role, sender, message) => onRejection(context, role, sender, message),
  }
}

function onInitialProposal(
  context: MarketContext,
  sender: NodeId,
  { proposal, offerId, demandId }: Message<'InitialProposalReceived'>,
): void {
  const { store, instants, funnels } = context
  const id = proposalIdFor('provider', proposal.proposal_id)
  const known = store.proposals.get(id)
  if (known && known.peerId === sender && known.offerId === offerId) return
  const offer = requireLive(context, offerId, 'provider', id)
  const pair: Pair = { role: 'provider', offerId, demandId, ownerId: offer.nodeId, peerId: sender }
  funnels.add(offerId, 'offer', { step: 'seen' })
  if (sender === offer.nodeId) throw refusals.counter({ Validation: { OwnProposal: id } }, id)
  checkReceived(context, pair, proposal, id, offer)
  const initial = newProposal(pair, {
    issuer: 'own',
    state: 'Initial',
    prevId: null,
    properties: offer.properties,
    constraints: offer.constraints,
    expirationTs: earlier(offer.expirationTs, proposal.expiration_ts),
    createdUs: instants.next(),
  })
  store.transaction(() => {
    store.proposals.insert({ ...initial, isCountered: true })
    accept(context, receivedProposal(pair, proposal, id, initial.id))
  })
  funnels.add(offerId, 'offer', { step: 'matched' })
  context.wakeups.wake(queueKey(offerId))
}

function onProposal(
  context: MarketContext,
  role: Role,
  sender: NodeId,
  { prevProposalId, proposal }: Message<'ProposalReceived'>,
): void {
  const { store } = context
  const id = proposalIdFor(role, proposal.proposal_id)
  const previous = requireOwn(context, role, sender, prevProposalId)
  const known = store.proposals.get(id)
  if (known && known.peerId === sender && known.prevId === previous.id) return
  if (previous.issuer === 'peer') throw refusals.counter({ Validation: { OwnProposal: previous.id } }, id)
  if (previous.isCountered || previous.state === 'Accepted') {
    throw refusals.counter({ AlreadyCountered: previous.id }, id)
  }
  requireLive(context, previous.subscriptionId, role, id)
  checkReceived(context, previous, proposal, id, previous)
  store.transaction(() => {
    store.proposals.update(previous.id, { isCountered: true, state: previous.prevId === null ? 'Initial' : 'Draft' })
    // That it was answered proves that it had arrived, whatever became of the reply.
    if (previous.prevId !== null) store.proposals.update(previous.prevId, { isCountered: true })
    accept(context, receivedProposal(previous, proposal, id, previous.id))
  })
  context.funnels.add(previous.subscriptionId, kindOf(role), { step: 'counteredByPeer' })
  context.wakeups.wake(queueKey(previous.subscriptionId))
}

/** Stores the proposal and queues it for the agent. */
function accept({ store, instants }: MarketContext, proposal: ProposalRecord): void {
  const { subscriptionId } = proposal
  store.proposals.insert(proposal)
  const atUs = instants.next()
  store.proposals.enqueue({ subscriptionId, kind: 'proposal', subjectId: proposal.id, reason: null, atUs })
}

function onRejection(context: MarketContext, role: Role, sender: NodeId, message: Message<'ProposalRejected'>): void {
  const { store, instants } = context
  const id = proposalIdFor(role, message.proposalId)
  const found = store.proposals.get(id)
  if (!found || found.peerId !== sender) {
    // Golem wire: a requestor tells that it does not want an offer; the provider knows no such proposal.
    if (message.initial === true) return
    throw refusals.reject({ NotFound: [id, null] })
  }
  if (found.issuer === 'peer') throw refusals.reject({ NotFound: [id, null] })
  if (found.state === 'Rejected' || found.isCountered || found.state === 'Accepted') return
  const reason: Reason = message.reason ?? NO_REASON
  const { subscriptionId } = found
  store.transaction(() => {
    store.proposals.update(id, { state: 'Rejected' })
    store.proposals.enqueue({ subscriptionId, kind: 'rejection', subjectId: id, reason, atUs: instants.next() })
  })
  context.funnels.add(subscriptionId, kindOf(role), { step: 'rejectedByPeer', why: reason.message })
  context.wakeups.wake(queueKey(subscriptionId))
}

/** The proposal that a message answers, if it is one between us and the sender. */
function requireOwn({ store }: MarketContext, role: Role, sender: NodeId, given: ProposalId): ProposalRecord {
  const id = proposalIdFor(role, given)
  const found = store.proposals.get(id)
  if (found && found.peerId === sender && found.role === role) return found
  throw refusals.counter({ NotFound: id }, id)
}

function requireLive({ store, instants }: MarketContext, id: string, role: Role, proposalId: string): Subscription {
  const found = store.subscriptions.get(id)
  const refuse = (why: string) => refusals.counter({ Validation: { [why]: id } }, proposalId)
  if (!found || found.kind !== kindOf(role)) throw refuse('NoSubscription')
  if (found.endedUs !== null) throw refuse('Unsubscribed')
  if (found.expiresUs <= instants.now()) throw refuse('SubscriptionExpired')
  return found
}

/** The checks that both kinds of incoming proposals share: id, life time, room, and that it matches ours. */
function checkReceived(
  context: MarketContext,
  pair: Pair,
  proposal: ProposalContent,
  id: ProposalId,
  own: Content & { id: string },
): void {
  const invalid = (why: unknown) => refusals.counter({ Validation: why }, id)
  if (!isProposalIdOf(id, pair, proposal.creation_ts)) {
    throw refusals.counter({ InvalidId: [id, 'it is not the hash of offer, demand and creation'] }, id)
  }
  if ((parseInstant(proposal.expiration_ts) ?? 0) <= context.instants.now()) {
    throw invalid({ Internal: 'the proposal has expired' })
  }
  checkRoom(context, pair, id)
  const mismatch = explain(pair.role, own, proposal)
  if (mismatch === undefined) return
  context.funnels.add(subscriptionOf(pair), kindOf(pair.role), { step: 'dropped', why: mismatch })
  throw invalid({ NotMatching: { NotMatching: { new: id, prev: own.id, mismatches: mismatch } } })
}

function checkRoom({ store, funnels }: MarketContext, pair: Pair, id: ProposalId): void {
  const subscriptionId = subscriptionOf(pair)
  const full =
    store.proposals.count(subscriptionId) >= PROPOSALS_PER_SUBSCRIPTION_MAX ||
    store.proposals.queueLength(subscriptionId) >= EVENT_QUEUE_LENGTH_MAX
  const isBusyPeer = store.proposals.countOpenOf(subscriptionId, pair.peerId) >= OPEN_PROPOSALS_PER_PEER_MAX
  if (!full && !isBusyPeer) return
  const why = full ? 'too many proposals' : 'too many open proposals of this node'
  funnels.add(subscriptionId, kindOf(pair.role), { step: 'dropped', why })
  throw refusals.counter({ Validation: { Internal: `${why}; try later` } }, id)
}

const subscriptionOf = (pair: Pair) => (pair.role === 'provider' ? pair.offerId : pair.demandId)

/** A received proposal that cannot be read does not match. */
function explain(role: Role, own: Content, received: Content): string | undefined {
  try {
    return mismatchWith(role, own, received)
  } catch (error) {
    if (error instanceof MarketError) return error.message
    throw error
  }
}
