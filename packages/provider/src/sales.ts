import { hasStatus } from '@emet/api'
import type { Agreement, NodeId, OfferEvent, Proposal } from '@emet/core'
import type { Capacity } from './capacity.ts'
import { createNegotiator, type Negotiator, type Verdict } from './negotiation/negotiator.ts'
import type { FlatProperties } from './negotiation/types.ts'
import { withdrawOffer } from './offers.ts'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { Rules } from './rules.ts'
import type { ProviderDeps } from './types.ts'
import { createWork, type Work } from './work.ts'

/** Counter-proposals of ours that are remembered, for each offer. */
const OWN_PROPOSALS_MAX = 1_000
/** Demands that were turned down for now and are answered again when a place is free, for each offer. */
const POSTPONED_MAX = 100
const EVENTS_AT_ONCE = 20
/** Events of one offer that are handled at the same time; then no more are fetched. */
const HANDLED_AT_ONCE_MAX = 40

export type OfferBody = { readonly properties: FlatProperties; readonly constraints: string }

export type SalesInput = {
  readonly preset: string
  /** The offer, made anew for each publication, since it holds the time of it. */
  readonly offer: () => OfferBody
  readonly rules: () => Rules
  readonly sessionId: string
  readonly capacity: Capacity
  readonly onApproved: (agreement: Agreement) => void
  /** Aborts when the agent ends. An approval under way outlives the offer that it came from. */
  readonly life: AbortSignal
}

/** Publishes one offer and negotiates over it until the signal aborts; then the offer is withdrawn. */
export async function sell(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  input: SalesInput,
  signal: AbortSignal,
): Promise<void> {
  const patience = { pauseMs: options.retryMs }
  for (;;) {
    const body = input.offer()
    const subscriptionId = await untilDone(deps, 'publication of an offer', patience, signal, () =>
      // Not broken off when the offer is to go: then nobody would know it, to withdraw it.
      deps.client.market.createOffer({ body, signal: input.life }),
    )
    deps.logger.info('an offer was published', { preset: input.preset, offerId: subscriptionId })
    const negotiate = createNegotiator(options.negotiation, input.rules)
    const memory = { own: new Map(), postponed: new Map(), work: createWork(deps.logger, signal) }
    try {
      await serveOffer({ deps, options, input, subscriptionId, body, negotiate, signal, ...memory })
    } finally {
      if (signal.aborted) await withdrawOffer(deps, subscriptionId)
      await memory.work.settled()
    }
    await deps.clock.sleep(options.retryMs, signal)
  }
}

/** One publication of an offer, and what was negotiated over it. */
type Sale = {
  readonly deps: ProviderDeps
  readonly options: ParsedProviderOptions
  readonly input: SalesInput
  readonly subscriptionId: string
  readonly body: OfferBody
  readonly negotiate: Negotiator
  /** Our proposals by id, to negotiate on from where we stand. */
  readonly own: Map<string, FlatProperties>
  readonly postponed: Map<string, Proposal>
  readonly work: Work
  readonly signal: AbortSignal
}

/** Returns when the offer has expired, so that it is published anew. */
async function serveOffer(sale: Sale): Promise<void> {
  const { deps, options, input, subscriptionId, work, signal } = sale
  const query = { timeout: options.pollSec, maxEvents: EVENTS_AT_ONCE }
  const stopListening = input.capacity.onFreed(() => answerPostponed(sale))
  try {
    for (;;) {
      const events = await untilDone(deps, 'events of an offer', { pauseMs: options.retryMs }, signal, () =>
        deps.client.market
          .getOfferEvents({ params: { subscriptionId }, query, signal })
          .catch((error) => (hasStatus(error, 404) ? undefined : Promise.reject(error))),
      )
      if (!events) return
      // A requestor that answers slowly does not hold up the others.
      for (const event of events) work.track('an event of an offer', handle(sale, event))
      while (work.size >= HANDLED_AT_ONCE_MAX) await work.oneDone()
    }
  } finally {
    stopListening()
  }
}

async function handle(sale: Sale, event: OfferEvent): Promise<void> {
  try {
    if (event.eventType === 'ProposalEvent') await answer(sale, event.proposal)
    if (event.eventType === 'AgreementEvent') await decide(sale, event.agreement)
  } catch (error) {
    if (sale.signal.aborted) return
    // The other side, or time, has made an end of it meanwhile.
    const level = hasStatus(error, 404, 410) ? 'debug' : 'warn'
    sale.deps.logger[level]('an event of an offer could not be handled', { eventType: event.eventType, error })
  }
}

/** A proposal gets a counter-proposal or a rejection; there is no plain yes. (Golem: negotiation.) */
async function answer(sale: Sale, proposal: Proposal): Promise<void> {
  const { deps, subscriptionId, body, signal } = sale
  const { proposalId, issuerId } = proposal
  const verdict = judge(sale, proposal.properties, await ourLast(sale, proposal.prevProposalId), issuerId)
  const params = { subscriptionId, proposalId }
  if (verdict.kind === 'reject') {
    const { reason, isFinal } = verdict
    deps.logger.info('a demand was turned down', { requestorId: issuerId, reason, isFinal })
    if (!isFinal) remember(sale.postponed, proposalId, proposal, POSTPONED_MAX)
    await deps.client.market.rejectDemandProposal({ params, body: refusal(reason, isFinal), signal })
  } else {
    const counter = { properties: { ...verdict.offer }, constraints: body.constraints }
    const counterId = await deps.client.market.counterDemandProposal({ params, body: counter, signal })
    remember(sale.own, counterId, verdict.offer, OWN_PROPOSALS_MAX)
  }
}

async function decide(sale: Sale, agreement: Agreement): Promise<void> {
  const { deps, options, input } = sale
  const { agreementId, demand } = agreement
  const { life: signal } = input
  const no = objection(sale, agreement)
  if (no) {
    deps.logger.info('an agreement was turned down', { agreementId, reason: no.message })
    await deps.client.market.rejectAgreement({ params: { agreementId }, body: no, signal })
    return
  }
  const query = { appSessionId: input.sessionId, timeout: options.approveTimeoutSec }
  let failure: unknown
  try {
    await deps.client.market.approveAgreement({ params: { agreementId }, query, signal })
  } catch (error) {
    failure = error
  }
  try {
    // Whatever the answer was, or if there was none: what the daemon has written down counts.
    const now = await untilDone(deps, 'look at an agreement', { pauseMs: options.retryMs }, signal, () =>
      deps.client.market.getAgreement({ params: { agreementId }, signal }),
    )
    if (failure !== undefined && now.state !== 'Approved') throw failure
    deps.logger.info('an agreement was approved', { agreementId, requestorId: demand.requestorId })
    input.onApproved(now)
  } catch (error) {
    input.capacity.free(agreementId)
    throw error
  }
}

/** Why we do not sign; undefined when we do, and then a place is taken. */
function objection(sale: Sale, { agreementId, demand, offer }: Agreement) {
  const verdict = judge(sale, demand.properties, offer.properties, demand.requestorId)
  if (verdict.kind === 'reject') return refusal(verdict.reason, verdict.isFinal)
  if (verdict.kind === 'negotiating') return refusal("Negotiations aren't finished.", false)
  return sale.input.capacity.take(agreementId) ? undefined : refusal('No capacity available.', false)
}

function judge(sale: Sale, demand: FlatProperties, offer: FlatProperties, requestorId: NodeId): Verdict {
  const { deps, input, negotiate } = sale
  return negotiate({ demand, offer, requestorId, nowMs: deps.clock.nowMs(), activeAgreements: input.capacity.taken })
}

async function ourLast(sale: Sale, previousId: string | undefined): Promise<FlatProperties> {
  const { deps, own, body, subscriptionId, signal } = sale
  if (previousId === undefined) return body.properties
  const remembered = own.get(previousId)
  if (remembered) return remembered
  const params = { subscriptionId, proposalId: previousId }
  return (await deps.client.market.getOfferProposal({ params, signal })).properties
}

/** A place is free: demands that were turned down for now get an offer after all; the others go on waiting. */
function answerPostponed(sale: Sale): void {
  for (const [proposalId, proposal] of sale.postponed)
    sale.work.track('a late answer', answerLate(sale, proposalId, proposal))
}

async function answerLate(sale: Sale, proposalId: string, proposal: Proposal): Promise<void> {
  const offer = await ourLast(sale, proposal.prevProposalId)
  const verdict = judge(sale, proposal.properties, offer, proposal.issuerId)
  if (verdict.kind === 'reject' && !verdict.isFinal) return
  if (!sale.postponed.delete(proposalId)) return
  if (verdict.kind === 'reject') return
  try {
    await answer(sale, proposal)
  } catch (error) {
    if (sale.signal.aborted) return
    sale.deps.logger.debug('a demand that was turned down for now is gone', { proposalId, error })
  }
}

const refusal = (message: string, isFinal: boolean) => ({ message, 'golem.proposal.rejection.is-final': isFinal })

function remember<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.set(key, value)
  const oldest = map.keys().next().value
  if (map.size > max && oldest !== undefined) map.delete(oldest)
}
