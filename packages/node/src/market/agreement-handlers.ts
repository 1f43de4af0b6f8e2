import { APPROVAL_MARGIN_MS, agreementIdOf, type NodeId, parseInstant, proposalIdFor, type Role } from '@emet/core'
import { receivedAgreement } from './agreement.ts'
import { agreementKey, isOverdue } from './agreement-ledger.ts'
import { type AgreementParts, pending } from './agreements.ts'
import { PENDING_AGREEMENTS_PER_PEER_MAX } from './limits.ts'
import { idsOf, mismatchWith } from './proposal.ts'
import { type Message, refusals, type StateReply } from './protocol.ts'
import { queueKey } from './queues.ts'
import { CLOCK_SKEW_MS_MAX } from './signed-offer.ts'
import type { AgreementRecord, ProposalRecord } from './types.ts'

/**
 * What other nodes' messages about agreements do here. Only the counterpart of an agreement may act on it; for anybody
 * else it does not exist. A message that was handled already is answered as the first time.
 */
export type AgreementHandlers = ReturnType<typeof createAgreementHandlers>

export function createAgreementHandlers(parts: AgreementParts) {
  return {
    received: (sender: NodeId, message: Message<'AgreementReceived'>) => onReceived(parts, sender, message),
    approved: (sender: NodeId, message: Message<'AgreementApproved'>) => onApproved(parts, sender, message),
    committed: (sender: NodeId, message: Message<'AgreementCommitted'>) => onCommitted(parts, sender, message),
    cancelled: (sender: NodeId, message: Message<'AgreementCancelled'>) => onCancelled(parts, sender, message),
    rejected: (sender: NodeId, message: Message<'AgreementRejected'>) => onRejected(parts, sender, message),
    terminated: (role: Role, sender: NodeId, message: Message<'AgreementTerminated'>) =>
      onTerminated(parts, role, sender, message),
    state: (role: Role, sender: NodeId, message: Message<'GetState'>): StateReply => {
      const { state, terminator, reason } = requireOf(parts, role, sender, message.agreementId)
      return { state, terminator, reason }
    },
  }
}

/** The agreement, if `sender` is its other party. */
function requireOf({ ledger }: AgreementParts, role: Role, sender: NodeId, agreementId: string): AgreementRecord {
  const found = ledger.find(agreementId, role)
  if (!found || found.peerId !== sender) throw refusals.agreement({ NotFound: agreementId })
  return ledger.current(found)
}

const invalidState = (a: AgreementRecord) => refusals.agreement({ InvalidState: [a.agreementId, a.state] })

/** Provider: a requestor proposes an agreement. */
function onReceived(parts: AgreementParts, sender: NodeId, message: Message<'AgreementReceived'>): void {
  const { context, ledger } = parts
  const { store, instants } = context
  const { agreementId } = message
  const known = ledger.find(agreementId, 'provider')
  const proposalId = proposalIdFor('provider', message.proposalId)
  if (known && known.peerId === sender && known.proposalId === proposalId) return
  const [offer, demand] = requireNegotiated(parts, sender, message)
  const agreement = receivedAgreement(offer, demand, message)
  checkProposed(parts, agreement)
  store.transaction(() => {
    store.agreements.insert(agreement)
    store.proposals.update(offer.id, { state: 'Accepted' })
    const atUs = instants.next()
    store.proposals.enqueue({
      subscriptionId: offer.subscriptionId,
      kind: 'agreement',
      subjectId: agreementId,
      reason: null,
      atUs,
    })
  })
  context.funnels.add(offer.subscriptionId, 'offer', { step: 'agreementsProposed' })
  context.wakeups.wake(queueKey(offer.subscriptionId))
}

/** Our last proposal and the requestor's one before, if an agreement may be made of them. */
function requireNegotiated(
  { context }: AgreementParts,
  sender: NodeId,
  message: Message<'AgreementReceived'>,
): [ProposalRecord, ProposalRecord] {
  const { store } = context
  const id = proposalIdFor('provider', message.proposalId)
  const refuse = (remote: unknown) => refusals.propose(remote, message.agreementId)
  const offer = store.proposals.get(id)
  if (!offer || offer.peerId !== sender || offer.role !== 'provider') throw refuse({ NotFound: id })
  if (offer.issuer === 'peer') throw refuse({ RequestorOwn: id })
  const demand = offer.prevId === null ? undefined : store.proposals.get(offer.prevId)
  if (!demand) throw refuse({ NoNegotiations: id })
  if (offer.isCountered || store.agreements.ofProposal(id)) throw refuse({ AlreadyCountered: id })
  const right = agreementIdOf(idsOf(offer, message.creationTs))
  if (right !== message.agreementId) throw refuse({ InvalidId: message.agreementId })
  return [offer, demand]
}

function checkProposed({ context }: AgreementParts, agreement: AgreementRecord): void {
  const { store, instants } = context
  const refuse = (why: string) =>
    refusals.propose({ Unexpected: { public_msg: why, original_msg: '' } }, agreement.agreementId)
  const offer = store.subscriptions.get(agreement.offerId)
  if (!offer || offer.endedUs !== null) throw refuse('the offer was unsubscribed')
  if (offer.expiresUs <= instants.now()) throw refuse('the offer has expired')
  if (agreement.validToUs <= instants.now()) throw refuse('validTo has passed')
  if (agreement.createdUs > instants.now() + CLOCK_SKEW_MS_MAX * 1000) throw refuse('the agreement is of the future')
  if (mismatchWith('provider', agreement.offer, agreement.demand) !== undefined)
    throw refuse('offer and demand do not match')
  if (store.agreements.countPending('provider', agreement.peerId) >= PENDING_AGREEMENTS_PER_PEER_MAX) {
    throw refuse('too many agreements of this node wait for an approval')
  }
}

/** Requestor: the provider approves. We answer, and commit. */
function onApproved(parts: AgreementParts, sender: NodeId, message: Message<'AgreementApproved'>): void {
  const { context, ledger, settlement, inFlight } = parts
  const found = requireOf(parts, 'requestor', sender, message.agreementId)
  const isConfirmed = found.state !== 'Proposal' || inFlight.confirming.has(found.agreementId)
  const agreement = isConfirmed ? pending(ledger, found) : found
  if (agreement.state === 'Approved') return
  if (agreement.state !== 'Approving') {
    if (agreement.state === 'Expired' || isOverdue(agreement, context.clock.nowMs(), APPROVAL_MARGIN_MS)) {
      throw refusals.agreement({ Expired: agreement.agreementId })
    }
    if (agreement.state !== 'Pending') throw invalidState(agreement)
    ledger.move(agreement, 'approve', { approvedUs: parseInstant(message.approvedTs) ?? context.instants.now() })
  }
  settlement.settle(agreement)
}

/** Provider: the requestor commits to our approval. From here on it is a deal. */
function onCommitted(parts: AgreementParts, sender: NodeId, message: Message<'AgreementCommitted'>): void {
  const { ledger } = parts
  const refuse = (remote: unknown) => refusals.commit(remote, message.agreementId)
  const found = ledger.find(message.agreementId, 'provider')
  if (!found || found.peerId !== sender) throw refuse('NotFound')
  const agreement = ledger.current(found)
  if (agreement.state === 'Approved') return
  if (agreement.state === 'Cancelled' || agreement.state === 'Expired') throw refuse(agreement.state)
  if (agreement.state !== 'Approving') throw refuse({ InvalidState: agreement.state })
  ledger.move(agreement, 'commit')
}

function onCancelled(parts: AgreementParts, sender: NodeId, message: Message<'AgreementCancelled'>): void {
  const agreement = requireOf(parts, 'provider', sender, message.agreementId)
  if (agreement.state === 'Cancelled') return
  if (agreement.state !== 'Pending' && agreement.state !== 'Approving') throw invalidState(agreement)
  parts.ledger.move(agreement, 'cancel', { reason: message.reason })
}

function onRejected(parts: AgreementParts, sender: NodeId, message: Message<'AgreementRejected'>): void {
  const { ledger, inFlight } = parts
  const found = requireOf(parts, 'requestor', sender, message.agreementId)
  if (found.state === 'Rejected') return
  let agreement = inFlight.confirming.has(found.agreementId) ? pending(ledger, found) : found
  // The provider gave up its approval before our commit arrived, and then rejected: it has the last word.
  if (agreement.state === 'Approving') agreement = ledger.move(agreement, 'revert', { approvedUs: null })
  if (agreement.state !== 'Pending') throw invalidState(agreement)
  ledger.move(agreement, 'reject', { reason: message.reason })
}

/**
 * Either side. When both terminate at once the requestor's counts: the provider takes it at once, the requestor answers
 * only when it knows what became of its own.
 */
async function onTerminated(
  parts: AgreementParts,
  role: Role,
  sender: NodeId,
  message: Message<'AgreementTerminated'>,
): Promise<void> {
  const { ledger, inFlight, offerAgain } = parts
  const found = requireOf(parts, role, sender, message.agreementId)
  if (role === 'requestor') await inFlight.terminating.get(agreementKey(found))
  let agreement = ledger.current(found)
  // Ours may have arrived although its answer got lost: then it came first, and counts.
  if (role === 'requestor' && agreement.state === 'Approved' && agreement.isInDoubt) {
    await parts.settlement.settleNow(agreement)
    agreement = ledger.current(found)
  }
  if (agreement.state === 'Terminated') return
  // The answer to our commit is still on the way, but a provider terminates only what it has seen committed.
  if (agreement.state === 'Approving' && role === 'requestor') agreement = ledger.move(agreement, 'commit')
  if (agreement.state !== 'Approved') throw invalidState(agreement)
  const terminator = role === 'requestor' ? 'provider' : 'requestor'
  ledger.move(agreement, 'terminate', { terminator, reason: message.reason })
  if (role === 'requestor') offerAgain(agreement.demandId, agreement.offerId)
}
