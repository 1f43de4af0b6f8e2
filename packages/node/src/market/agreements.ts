import { type AbortOptions, APPROVAL_MARGIN_MS, type InstantUs, type NodeId, type Reason } from '@emet/core'
import { agreementOf, messageOf, routeOf } from './agreement.ts'
import { agreementKey, expired, feedKey, isOverdue, type Ledger, wrongState } from './agreement-ledger.ts'
import type { Settlement } from './agreement-settlement.ts'
import type { MarketContext } from './context.ts'
import {
  agreementDocument,
  agreementEvent,
  agreementListEntry,
  agreementView,
  shownState,
  terminatedEvent,
} from './documents.ts'
import { MarketError } from './errors.ts'
import { checkReason } from './negotiations.ts'
import { mismatchWith } from './proposal.ts'
import { stateInError } from './protocol.ts'
import type { AgreementRecord, Agreements, ProposalRecord } from './types.ts'

/** What is under way in this process, so that a peer's message that crosses ours is understood. */
export type InFlight = {
  /** Agreements whose `confirm` waits for the provider's answer. */
  readonly confirming: Set<string>
  /** Terminations that wait for the peer's answer; each promise resolves when it is there. */
  readonly terminating: Map<string, Promise<void>>
}

export type AgreementParts = {
  readonly context: MarketContext
  readonly ledger: Ledger
  readonly settlement: Settlement
  readonly inFlight: InFlight
  /** Called when an agreement of ours as a requestor has ended. */
  readonly offerAgain: (demandId: string, offerId: string) => void
}

/** The agents' side of agreements. Each step is stored before it counts; REST 6.2 has the states. */
export function createAgreements(parts: AgreementParts): Agreements {
  const { context, ledger } = parts
  const { store, wakeups } = context
  return {
    get: (agreementId, owner) => {
      try {
        return agreementView(ledger.require(owner, agreementId))
      } catch (error) {
        if (error instanceof MarketError) return undefined
        throw error
      }
    },
    document: (owner, agreementId) => agreementDocument(ledger.require(owner, agreementId)),
    create: (owner, proposalId, validToUs) => create(context, owner, proposalId, validToUs),
    confirm: (owner, agreementId, appSessionId) => confirm(parts, owner, agreementId, appSessionId),
    wait: (owner, agreementId, options) => wait(parts, owner, agreementId, options),
    cancel: (owner, agreementId, reason) => cancel(parts, owner, agreementId, reason),
    approve: (owner, agreementId, options) => approve(parts, owner, agreementId, options),
    reject: async (owner, agreementId, reason) => reject(parts, owner, agreementId, reason),
    terminate: (owner, agreementId, reason) => terminate(parts, owner, agreementId, reason),
    list: (owner, filter) =>
      store.agreements
        .list(owner)
        .map((agreement) => ledger.current(agreement))
        .filter((agreement) => filter.state === undefined || shownState(agreement) === filter.state)
        .filter((agreement) => filter.beforeUs === undefined || agreement.createdUs < filter.beforeUs)
        .filter((agreement) => filter.afterUs === undefined || agreement.createdUs > filter.afterUs)
        .filter((agreement) => filter.appSessionId === undefined || agreement.appSessionId === filter.appSessionId)
        .map(agreementListEntry),
    termination: (owner, agreementId) => {
      const agreement = ledger.require(owner, agreementId)
      const event = store.agreements.terminationOf(agreementId, agreement.role)
      if (event) return terminatedEvent(event)
      throw new MarketError('bad-request', `Agreement [${agreementId}] is not terminated.`, { agreementId })
    },
    events: async (owner, { afterUs, appSessionId, maxEvents, ...options }) => {
      const found = await wakeups.until(feedKey(owner), options, () => {
        const events = store.agreements.events(owner, { afterUs, appSessionId, limit: maxEvents })
        return events.length > 0 ? events.map(agreementEvent) : undefined
      })
      return found ?? []
    },
  }
}

/** A new agreement in state Proposal; nobody is told yet. */
function create(context: MarketContext, owner: NodeId, proposalId: string, validToUs: InstantUs): string {
  const { store, instants } = context
  const offer = acceptable(context, owner, proposalId)
  const demand = store.proposals.get(offer.prevId ?? '')
  if (!demand) throw new MarketError('no-negotiation', `Proposal [${proposalId}] answers nothing.`, { proposalId })
  const mismatch = mismatchWith('requestor', demand, offer)
  if (mismatch !== undefined) {
    throw new MarketError('not-matching', `Proposal [${proposalId}] does not match: ${mismatch}`, { proposalId })
  }
  if (validToUs <= instants.now()) {
    throw new MarketError('bad-request', 'validTo must be in the future: it is the deadline of the approval', {
      validToUs,
    })
  }
  const agreement = agreementOf(offer, demand, { createdUs: instants.next(), validToUs })
  store.transaction(() => {
    store.agreements.insert(agreement)
    store.proposals.update(offer.id, { state: 'Accepted' })
  })
  context.funnels.add(agreement.demandId, 'demand', { step: 'agreementsProposed' })
  return agreement.agreementId
}

/** The provider's proposal that an agreement may be made of. Requestor's side. */
function acceptable({ store, instants }: MarketContext, owner: NodeId, proposalId: string): ProposalRecord {
  const fail = (code: ConstructorParameters<typeof MarketError>[0], why: string) =>
    new MarketError(code, `Proposal [${proposalId}] ${why}`, { proposalId })
  if (!/^R-[0-9a-f]{64}$/.test(proposalId))
    throw fail('bad-id', "is not the id of a requestor's proposal: R- and 64 hex")
  const proposal = store.proposals.get(proposalId)
  if (!proposal || proposal.ownerId !== owner) throw fail('proposal-not-found', 'not found.')
  if (store.agreements.ofProposal(proposalId)) throw fail('agreement-exists', 'has an agreement already.')
  if (proposal.issuer === 'own') throw fail('own-proposal', 'is our own; the provider must answer it first.')
  if (proposal.prevId === null) throw fail('no-negotiation', 'is initial; counter it first.')
  if (proposal.isCountered) throw fail('already-countered', 'was countered already.')
  if (proposal.state === 'Rejected') throw fail('proposal-rejected', 'was rejected.')
  const demand = store.subscriptions.get(proposal.subscriptionId)
  if (!demand || demand.endedUs !== null) throw fail('subscription-ended', 'belongs to a demand that was unsubscribed.')
  if (demand.expiresUs <= instants.now()) throw fail('subscription-ended', 'belongs to a demand that has expired.')
  return proposal
}

/** Proposal → Pending. The provider's approval may overtake its own answer to us. */
async function confirm(
  parts: AgreementParts,
  owner: NodeId,
  agreementId: string,
  session: string | null,
): Promise<void> {
  const { context, ledger, inFlight } = parts
  const agreement = ledger.require(owner, agreementId, 'requestor')
  if (agreement.state !== 'Proposal') throw wrongState(agreement)
  if (inFlight.confirming.has(agreementId)) throw wrongState(agreement, 'the agreement is being confirmed already')
  if (session !== null) ledger.note(agreement, { appSessionId: session })
  inFlight.confirming.add(agreementId)
  try {
    await context.send(routeOf(agreement), 'AgreementReceived', messageOf.received(agreement))
    pending(ledger, agreement)
  } catch (error) {
    const { state } = ledger.current(agreement)
    // The answer got lost, but the provider has acted on it already.
    if (state === 'Proposal' || state === 'Cancelled' || state === 'Expired') throw error
  } finally {
    inFlight.confirming.delete(agreementId)
  }
}

/** Makes Proposal Pending, unless it is already further. */
export function pending(ledger: Ledger, agreement: AgreementRecord): AgreementRecord {
  const current = ledger.current(agreement)
  return current.state === 'Proposal' ? ledger.move(current, 'confirm') : current
}

/** Resolves when Approved. Golem wire: REST 2.3 has the answers to the other states. */
async function wait(
  { context, ledger }: AgreementParts,
  owner: NodeId,
  agreementId: string,
  options: AbortOptions & { timeoutMs: number },
): Promise<void> {
  const agreement = ledger.require(owner, agreementId, 'requestor')
  const decide = (): true | undefined => {
    const current = ledger.current(agreement)
    if (current.state === 'Approved') return true
    if (current.state === 'Pending' || current.state === 'Approving') return undefined
    if (current.state === 'Proposal') {
      throw new MarketError('bad-request', `Agreement [${agreementId}] must be confirmed first.`, { agreementId })
    }
    if (current.state === 'Terminated') {
      throw new MarketError('bad-request', `Agreement [${agreementId}] is terminated.`, { agreementId })
    }
    throw wrongState(current, current.state)
  }
  const restMs = Math.max(agreement.validToUs / 1000 - context.clock.nowMs(), 0) + 1
  const endsFirst = restMs < options.timeoutMs && agreement.state !== 'Approving'
  const timeoutMs = endsFirst ? restMs : options.timeoutMs
  const isDone = await context.wakeups.until(agreementKey(agreement), { ...options, timeoutMs }, decide)
  if (isDone) return
  throw new MarketError('timeout', `Agreement [${agreementId}] was not approved in time.`, { agreementId })
}

async function cancel(
  { context, ledger, settlement }: AgreementParts,
  owner: NodeId,
  agreementId: string,
  reason: Reason | null,
): Promise<void> {
  checkReason(reason)
  const agreement = ledger.require(owner, agreementId, 'requestor')
  const message = messageOf.cancelled(agreement, reason, context.instants.now())
  const tell = () => context.send(routeOf(agreement), 'AgreementCancelled', message)
  if (agreement.state === 'Proposal') {
    ledger.move(agreement, 'cancel', { reason })
    // The provider may know it after all: from a confirmation whose answer got lost.
    context.tasks.run('tell of a cancelled agreement', () => tell().then(ignore, ignore))
    return
  }
  if (agreement.state !== 'Pending' && agreement.state !== 'Approving') throw wrongState(agreement)
  ledger.note(agreement, { isInDoubt: true, reason })
  try {
    await tell()
  } catch (error) {
    afterRefusedCancel(ledger, agreement, reason, error)
    if (isUnreachable(error)) settlement.settle(agreement)
    if (ledger.current(agreement).state === 'Cancelled') return
    throw isUnreachable(error) ? error : wrongState(ledger.current(agreement))
  }
  const current = ledger.current(agreement)
  if (current.state === 'Pending' || current.state === 'Approving') ledger.move(current, 'cancel', { reason })
  else if (current.state !== 'Cancelled') throw wrongState(current)
}

/** The provider did not take the cancellation: it tells in which state the agreement is there. */
function afterRefusedCancel(ledger: Ledger, agreement: AgreementRecord, reason: Reason | null, error: unknown): void {
  const theirs = stateInError(error)
  const current = ledger.current(agreement)
  if (current.state !== 'Pending' && current.state !== 'Approving') return
  if (theirs === 'NotFound' || theirs === 'Cancelled') ledger.move(current, 'cancel', { reason })
  else if (theirs === 'Rejected' && current.state === 'Pending') ledger.move(current, 'reject')
  else if (theirs === 'Expired') ledger.move(current, 'expire')
  else if (!isUnreachable(error)) ledger.note(current, { isInDoubt: false, reason: null })
}

/** Pending → Approving → Approved. The procedure does not depend on the agent's patience; only its end is waited for. */
async function approve(
  parts: AgreementParts,
  owner: NodeId,
  agreementId: string,
  options: AbortOptions & { timeoutMs: number; appSessionId: string | null },
): Promise<void> {
  const { context, ledger } = parts
  const agreement = ledger.require(owner, agreementId, 'provider')
  if (isOverdue(agreement, context.clock.nowMs(), APPROVAL_MARGIN_MS)) {
    throw new MarketError('agreement-expired', `Agreement [${agreementId}] expired.`, { agreementId })
  }
  if (agreement.state !== 'Pending')
    throw wrongState(agreement, agreement.state === 'Cancelled' ? 'Cancelled' : undefined)
  const approvedUs = context.instants.now()
  const session = options.appSessionId === null ? {} : { appSessionId: options.appSessionId }
  const approving = ledger.move(agreement, 'approve', { approvedUs, ...session })
  const deadlineMs = context.clock.monotonicMs() + options.timeoutMs
  try {
    const send = { timeoutMs: Math.max(options.timeoutMs, 1) }
    await context.send(routeOf(agreement), 'AgreementApproved', messageOf.approved(approving, approvedUs), send)
  } catch (error) {
    // Whether it arrived is found out after the restart.
    if (context.tasks.signal.aborted) throw error
    afterRefusedApproval(ledger, approving, error)
    if (ledger.current(agreement).state === 'Approved') return
    throw lostApproval(ledger.current(agreement)) ?? error
  }
  await waitForCommit(parts, agreement, { ...options, timeoutMs: deadlineMs - context.clock.monotonicMs() })
}

async function waitForCommit(
  { context, ledger }: AgreementParts,
  agreement: AgreementRecord,
  options: AbortOptions & { timeoutMs: number },
): Promise<void> {
  const decide = () => (ledger.current(agreement).state === 'Approving' ? undefined : true)
  const { agreementId } = agreement
  // Whoever stops waiting early does not stop the approval: the commit, or its absence, decides.
  const decided = context.wakeups
    .until(agreementKey(agreement), { timeoutMs: options.timeoutMs }, decide)
    .then((done) => {
      const current = ledger.current(agreement)
      if (!done && current.state === 'Approving') ledger.move(current, 'revert', { approvedUs: null })
    })
  context.tasks.run('wait for a commit', () => decided.catch(ignore))
  await decided
  options.signal?.throwIfAborted()
  const current = ledger.current(agreement)
  if (current.state === 'Approved' || current.state === 'Terminated') return
  const message = `the requestor did not commit to agreement [${agreementId}] in time`
  throw lostApproval(current) ?? new MarketError('timeout', message, { agreementId })
}

/** Why an approval came to nothing, if the agreement has ended. */
function lostApproval(current: AgreementRecord): MarketError | undefined {
  if (current.state === 'Cancelled') return wrongState(current, 'Cancelled')
  if (current.state !== 'Expired') return undefined
  return expired(current)
}

function afterRefusedApproval(ledger: Ledger, agreement: AgreementRecord, error: unknown): void {
  const current = ledger.current(agreement)
  if (current.state !== 'Approving') return
  const theirs = stateInError(error)
  if (theirs === 'Cancelled') ledger.move(current, 'cancel')
  else if (theirs === 'Expired') ledger.move(current, 'expire')
  else ledger.move(current, 'revert', { approvedUs: null })
}

/** Ours to decide, so it holds whether or not the requestor can be told now; it is told until it knows. */
function reject(
  { ledger, settlement }: AgreementParts,
  owner: NodeId,
  agreementId: string,
  reason: Reason | null,
): void {
  checkReason(reason)
  const agreement = ledger.require(owner, agreementId, 'provider')
  if (agreement.state !== 'Pending') throw wrongState(agreement)
  settlement.settle(ledger.move(agreement, 'reject', { reason, isInDoubt: true }))
}

/** Approved → Terminated. The peer is told first; nothing changes here when it cannot be reached (REST 6.2). */
async function terminate(
  parts: AgreementParts,
  owner: NodeId,
  agreementId: string,
  reason: Reason | null,
): Promise<void> {
  checkReason(reason)
  const { context, ledger, inFlight, settlement } = parts
  const agreement = ledger.require(owner, agreementId)
  if (agreement.state !== 'Approved') throw wrongState(agreement)
  const key = agreementKey(agreement)
  if (inFlight.terminating.has(key)) throw wrongState(agreement, 'the agreement is being terminated already')
  ledger.note(agreement, { isInDoubt: true })
  const message = messageOf.terminated(agreement, reason, context.instants.now())
  const sending = context.send(routeOf(agreement), 'AgreementTerminated', message).then(
    () => terminated(parts, agreement, reason),
    (error: unknown) => {
      if (stateInError(error) === 'Terminated' || ledger.current(agreement).state === 'Terminated') {
        return terminated(parts, agreement, reason)
      }
      if (isUnreachable(error)) settlement.settle(agreement)
      else ledger.note(agreement, { isInDoubt: false })
      throw error
    },
  )
  inFlight.terminating.set(key, sending.catch(ignore))
  try {
    await sending
  } finally {
    inFlight.terminating.delete(key)
  }
}

/** Stores our termination, unless the peer's came first: then its is the one that counts, on both sides. */
function terminated(parts: AgreementParts, agreement: AgreementRecord, reason: Reason | null): void {
  const current = parts.ledger.current(agreement)
  if (current.state === 'Terminated') return
  parts.ledger.move(current, 'terminate', { terminator: current.role, reason })
  if (current.role === 'requestor') parts.offerAgain(current.demandId, current.offerId)
}

const isUnreachable = (error: unknown) => error instanceof MarketError && error.code === 'peer-unreachable'
const ignore = () => {}
