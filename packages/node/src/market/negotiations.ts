import { createSubscriptionId, formatNaiveInstant, type NodeId, parseProposalId, type Reason } from '@emet/core'
import { contentOf, hashedContent } from './content.ts'
import type { MarketContext } from './context.ts'
import { demandDocument, offerDocument, proposalDocument } from './documents.ts'
import { MarketError } from './errors.ts'
import {
  EVENT_QUEUE_LENGTH_MAX,
  PROPOSALS_PER_SUBSCRIPTION_MAX,
  REASON_BYTES_MAX,
  SUBSCRIPTIONS_MAX,
} from './limits.ts'
import { idsOf, initialProposal, mismatchWith, newProposal, proposalToWire, roleOf } from './proposal.ts'
import { otherRole } from './protocol.ts'
import { ofDemand, queueKey, takeEvents } from './queues.ts'
import { signOffer } from './signed-offer.ts'
import type {
  Content,
  Draft,
  Negotiations,
  PollOptions,
  ProposalRecord,
  SignedOffer,
  Subscription,
  SubscriptionKind,
} from './types.ts'

/** What the negotiation tells the parts that spread offers and find them. */
export type SubscriptionHooks = {
  onSubscribed(subscription: Subscription): void
  onUnsubscribed(subscription: Subscription): void
  /** A provider says that an offer has ended, or cannot be reached. */
  onOfferGone(offerId: string): void
}

/** The agents' side of negotiations, with what other parts of the market need of it. */
export type NegotiationService = Negotiations & {
  /** Offers that match a demand: makes initial proposals of those that it has none of yet. */
  offersMatched(demandId: string, offers: readonly SignedOffer[]): void
  /** A fresh initial proposal for a pair whose agreement has ended. */
  offerAgain(demandId: string, offerId: string): void
  /** Sends again what may not have arrived before a restart. */
  resend(since: number): void
}

export function createNegotiations(context: MarketContext, hooks: SubscriptionHooks): NegotiationService {
  const { store, instants, wakeups } = context
  const live = (kind: SubscriptionKind, owner: NodeId, id: string) => liveSubscription(context, kind, owner, id)

  const events = async (kind: SubscriptionKind, owner: NodeId, id: string, options: PollOptions) => {
    const found = await wakeups.until(queueKey(id), options, () => {
      live(kind, owner, id)
      return takeEvents(context, id, options.maxEvents)
    })
    return found ?? []
  }
  return {
    subscribe: async (kind, owner, draft) => {
      const subscription = await newSubscription(context, kind, owner, contentOf(draft))
      store.subscriptions.insert(subscription)
      hooks.onSubscribed(subscription)
      return subscription.id
    },
    offers: (owner) => store.subscriptions.active(instants.now(), 'offer', owner).map(offerDocument),
    demands: (owner) => store.subscriptions.active(instants.now(), 'demand', owner).map(demandDocument),
    unsubscribe: (kind, owner, id) => {
      const subscription = live(kind, owner, id)
      store.transaction(() => {
        store.subscriptions.end(id, instants.now())
        store.proposals.clearQueue(id)
      })
      wakeups.wake(queueKey(id))
      hooks.onUnsubscribed(subscription)
    },
    offerEvents: (owner, id, options) => events('offer', owner, id, options),
    demandEvents: async (owner, id, options) => ofDemand(await events('demand', owner, id, options)),
    counter: (kind, owner, id, proposalId, draft) =>
      counter(context, hooks, live(kind, owner, id), requireProposal(context, id, proposalId), draft),
    proposal: (kind, owner, id, proposalId) => {
      owned(context, kind, owner, id)
      return proposalDocument(requireProposal(context, id, proposalId))
    },
    reject: async (kind, owner, id, proposalId, reason) => {
      live(kind, owner, id)
      await reject(context, kind, requireProposal(context, id, proposalId), reason)
    },
    offersMatched: (demandId, offers) => offersMatched(context, demandId, offers),
    offerAgain: (demandId, offerId) => offerAgain(context, demandId, offerId),
    resend: (sinceUs) => {
      for (const proposal of store.proposals.unanswered(sinceUs, RESENT_MAX)) {
        context.tasks.run('resend', () => sendProposal(context, proposal).then(() => {}))
      }
    },
  }
}

/** Proposals sent again after a restart. */
const RESENT_MAX = 200

function owned(context: MarketContext, kind: SubscriptionKind, owner: NodeId, id: string): Subscription {
  const found = context.store.subscriptions.get(id)
  if (found && found.kind === kind && found.nodeId === owner) return found
  throw new MarketError('subscription-not-found', `Subscription [${id}] not found.`, { id })
}

function liveSubscription(context: MarketContext, kind: SubscriptionKind, owner: NodeId, id: string): Subscription {
  const found = owned(context, kind, owner, id)
  if (found.endedUs !== null) {
    throw new MarketError('subscription-ended', `Subscription [${id}] not found. Could be unsubscribed.`, { id })
  }
  if (found.expiresUs <= context.instants.now()) {
    throw new MarketError('subscription-expired', `Subscription [${id}] expired.`, { id })
  }
  return found
}

async function newSubscription(
  { store, instants, options, signer, random }: MarketContext,
  kind: SubscriptionKind,
  nodeId: NodeId,
  content: Content,
): Promise<Subscription> {
  const createdUs = instants.next()
  if (store.subscriptions.active(createdUs, undefined, nodeId).length >= SUBSCRIPTIONS_MAX) {
    throw new MarketError('limit', `identity ${nodeId} has ${SUBSCRIPTIONS_MAX} subscriptions; unsubscribe some`)
  }
  const expiresUs = createdUs + options.subscriptionTtlMs * 1000
  const times = { creationTs: formatNaiveInstant(createdUs), expirationTs: formatNaiveInstant(expiresUs) }
  const id = createSubscriptionId(hashedContent({ ...content, nodeId, ...times }), random)
  const publication = { ...content, id, nodeId, ...times }
  const signature = kind === 'offer' ? (await signOffer(signer, publication)).signature : null
  return { ...publication, kind, createdUs, expiresUs, endedUs: null, signature }
}

function requireProposal({ store }: MarketContext, subscriptionId: string, id: string): ProposalRecord {
  if (!parseProposalId(id)) throw new MarketError('bad-id', `Invalid proposal id: ${JSON.stringify(id)}`, { id })
  const found = store.proposals.of(subscriptionId, id)
  if (found) return found
  throw new MarketError('proposal-not-found', `Proposal [${id}] not found in subscription [${subscriptionId}].`, { id })
}

/** Stores our answer, sends it, and takes it back when the other side did not get it. */
async function counter(
  context: MarketContext,
  hooks: SubscriptionHooks,
  subscription: Subscription,
  previous: ProposalRecord,
  draft: Draft,
): Promise<string> {
  const { store } = context
  const content = contentOf(draft)
  checkCounter(previous, content)
  const proposal = storeCounter(context, subscription, previous, content)
  try {
    await sendProposal(context, proposal)
  } catch (error) {
    // The answer to our proposal may have come in although the reply to the call got lost: then it was delivered.
    if (!store.proposals.counterOf(proposal.id)) {
      takeBack(context, previous, proposal, error)
      if (proposal.role === 'requestor' && isOfferGone(error)) hooks.onOfferGone(proposal.offerId)
      throw error
    }
  }
  context.funnels.add(subscription.id, subscription.kind, { step: 'countered' })
  return proposal.id
}

function checkCounter(previous: ProposalRecord, content: Content): void {
  const { id } = previous
  if (previous.issuer === 'own') {
    throw new MarketError('own-proposal', `Proposal [${id}] is our own; only the other side may counter it.`, { id })
  }
  if (previous.isCountered || previous.state === 'Accepted') {
    throw new MarketError('already-countered', `Proposal [${id}] was already countered.`, { id })
  }
  const mismatch = mismatchWith(previous.role, content, previous)
  if (mismatch === undefined) return
  throw new MarketError('not-matching', `The counter-proposal does not match proposal [${id}]: ${mismatch}`, { id })
}

/** A repeated attempt with the same content uses the same proposal, so that the peer can tell a repetition. */
function storeCounter(
  { store, instants }: MarketContext,
  subscription: Subscription,
  previous: ProposalRecord,
  content: Content,
): ProposalRecord {
  return store.transaction(() => {
    const unsent = store.proposals.counterOf(previous.id)
    const reopened = previous.state === 'Rejected' ? (previous.prevId === null ? 'Initial' : 'Draft') : previous.state
    store.proposals.update(previous.id, { isCountered: true, state: reopened })
    if (unsent && unsent.properties === content.properties && unsent.constraints === content.constraints) return unsent
    if (unsent) store.proposals.remove(unsent.id)
    checkRoom(store.proposals.count(subscription.id), subscription.id)
    const proposal = newProposal(previous, {
      ...content,
      issuer: 'own',
      state: 'Draft',
      prevId: previous.id,
      expirationTs: previous.expirationTs,
      createdUs: instants.next(),
    })
    store.proposals.insert(proposal)
    return proposal
  })
}

function checkRoom(count: number, subscriptionId: string): void {
  if (count < PROPOSALS_PER_SUBSCRIPTION_MAX) return
  const message = `subscription [${subscriptionId}] has ${PROPOSALS_PER_SUBSCRIPTION_MAX} proposals; subscribe anew`
  throw new MarketError('limit', message, { subscriptionId })
}

/** Golem wire: the validation errors that speak of the offer itself. */
function isOfferGone(error: unknown): boolean {
  if (!(error instanceof MarketError)) return false
  if (error.code === 'peer-unreachable') return true
  return /"(NoSubscription|Unsubscribed|SubscriptionExpired)"/.test(JSON.stringify(error.facts['data']) ?? '')
}

/** After a definite refusal the proposal never was; when it may have arrived, it stays to be sent again. */
function takeBack({ store }: MarketContext, previous: ProposalRecord, proposal: ProposalRecord, error: unknown): void {
  store.transaction(() => {
    store.proposals.update(previous.id, { isCountered: false })
    if (error instanceof MarketError && error.code === 'peer-refused') store.proposals.remove(proposal.id)
  })
}

async function sendProposal({ store, send }: MarketContext, proposal: ProposalRecord): Promise<unknown> {
  const route = { from: proposal.ownerId, to: proposal.peerId, receiver: otherRole(proposal.role) }
  const previous = proposal.prevId === null ? undefined : store.proposals.get(proposal.prevId)
  const content = proposalToWire(proposal)
  if (proposal.role === 'requestor' && previous?.prevId === null) {
    const { offerId, demandId } = idsOf(proposal, proposal.creationTs)
    return send(route, 'InitialProposalReceived', { proposal: content, offerId, demandId })
  }
  return send(route, 'ProposalReceived', { prevProposalId: proposal.prevId ?? '', proposal: content })
}

async function reject(
  context: MarketContext,
  kind: SubscriptionKind,
  proposal: ProposalRecord,
  reason: Reason | null,
): Promise<void> {
  const { id } = proposal
  checkReason(reason)
  if (proposal.issuer === 'own') {
    throw new MarketError('own-proposal', `Proposal [${id}] is our own; only the other side may reject it.`, { id })
  }
  if (proposal.isCountered || proposal.state === 'Accepted') {
    throw new MarketError('already-countered', `Proposal [${id}] was already answered.`, { id })
  }
  context.store.proposals.update(id, { state: 'Rejected' })
  context.funnels.add(proposal.subscriptionId, kind, { step: 'rejected', why: reason?.message ?? 'no reason' })
  const route = { from: proposal.ownerId, to: proposal.peerId, receiver: otherRole(roleOf(kind)) }
  await context.send(route, 'ProposalRejected', { proposalId: id, initial: proposal.prevId === null, reason })
}

/** Throws `bad-request` for a reason that is too long to send. */
export function checkReason(reason: Reason | null): void {
  const size = reason ? JSON.stringify(reason).length : 0
  if (size <= REASON_BYTES_MAX) return
  throw new MarketError('bad-request', `the reason takes ${size} bytes, at most ${REASON_BYTES_MAX} are allowed`, {
    size,
  })
}

function offersMatched(context: MarketContext, demandId: string, offers: readonly SignedOffer[]): void {
  const { store, instants, funnels } = context
  const isStored = store.transaction(() => {
    const demand = store.subscriptions.get(demandId)
    if (!demand || demand.endedUs !== null || demand.expiresUs <= instants.now()) return false
    let room = EVENT_QUEUE_LENGTH_MAX - store.proposals.queueLength(demandId)
    for (const offer of offers) {
      if (store.proposals.initialOf(demandId, offer.id)) continue
      if (room-- <= 0) funnels.add(demandId, 'demand', { step: 'dropped', why: 'the event queue is full' })
      else addInitial(context, initialProposal(demand, offer, instants.next()))
    }
    return true
  })
  if (isStored) context.wakeups.wake(queueKey(demandId))
}

function addInitial({ store, instants, funnels }: MarketContext, proposal: ProposalRecord): void {
  store.proposals.insert(proposal)
  store.proposals.enqueue({
    subscriptionId: proposal.subscriptionId,
    kind: 'proposal',
    subjectId: proposal.id,
    reason: null,
    atUs: instants.next(),
  })
  funnels.add(proposal.subscriptionId, 'demand', { step: 'matched' })
}

/** Golem wire: after an agreement the same pair may negotiate anew, from a new initial proposal. */
function offerAgain(context: MarketContext, demandId: string, offerId: string): void {
  const { store, instants } = context
  const first = store.proposals.initialOf(demandId, offerId)
  const demand = store.subscriptions.get(demandId)
  if (!first || !demand || demand.endedUs !== null || demand.expiresUs <= instants.now()) return
  store.transaction(() => {
    const { expirationTs, properties, constraints } = first
    const facts = { expirationTs, properties, constraints, prevId: null, createdUs: instants.next() }
    addInitial(context, newProposal(first, { ...facts, issuer: 'peer', state: 'Initial' }))
  })
  context.wakeups.wake(queueKey(demandId))
}
