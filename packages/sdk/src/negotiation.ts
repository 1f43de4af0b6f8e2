import { type Agreement, type DemandOfferBase, fromMs, messageOf, type Proposal } from '@emet/core'
import type { SdkDeps } from './daemon.ts'
import { abortedError } from './daemon-errors.ts'
import type { SdkEventBody } from './events.ts'
import {
  ABORT_CLEANUP_MS,
  AFFORDABLE_WAIT_MS,
  ANSWER_LIMIT_MS,
  BUDGET_SECONDS_MIN,
  CANDIDATES_MAX,
  NEGOTIATIONS_PARALLEL_MAX,
  POLL_SECONDS,
  REPLACEMENT_WAIT_MS,
  SIGNINGS_MAX,
} from './limits.ts'
import { createOfferTally, nothingFound, type OfferTally } from './nothing-found.ts'
import { byPrice, costOfUse, type OfferView, viewOffer } from './offers.ts'
import { abortable, withLimit } from './scope.ts'
import type { RentSpec } from './types.ts'

/** Providers that rentals of one group have taken, so that no two go to the same one. */
export interface Claims {
  take(providerId: string): boolean
  release(providerId: string): void
  has(providerId: string): boolean
}

export function createClaims(): Claims {
  const taken = new Set<string>()
  return {
    take: (id) => !taken.has(id) && Boolean(taken.add(id)),
    release: (id) => void taken.delete(id),
    has: (id) => taken.has(id),
  }
}

export type NegotiationInput = {
  readonly demandId: string
  readonly demand: DemandOfferBase
  readonly spec: RentSpec
  readonly perHourMax: bigint | undefined
  readonly max: bigint
  readonly findMs: number
  readonly negotiateMs: number
  readonly claims: Claims
  /** Providers not to be asked (again). */
  readonly avoided: Set<string>
  readonly note: (line: string) => void
  readonly emit: (event: SdkEventBody, providerId?: string) => void
  readonly appSessionId: string
}

/** A provider that has signed. Its claim is held. */
export type Signed = { readonly agreement: Agreement; readonly view: OfferView }

/** Rounds of counter-proposals with one provider before we give up on it. */
const ROUNDS_MAX = 3

/** `asked` is our own last word to the provider, `askedMs` when it was said. */
type Candidate = {
  readonly proposal: Proposal
  readonly view: OfferView
  readonly round: number
  readonly asked: DemandOfferBase
  readonly askedMs?: number
}

/** Looks for providers by one demand, cheapest first, and signs with one at a time. */
export interface Negotiation {
  /**
   * The next provider that signs. Throws `GolemError` when the limits are met; after an exclusion already when all known
   * providers have been asked.
   */
  next(signal: AbortSignal): Promise<Signed>
  /** Takes a provider out that has failed after it had signed. */
  exclude(providerId: string): void
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one negotiation, whose lists belong together
export function createNegotiation(deps: SdkDeps, input: NegotiationInput): Negotiation {
  const { client, clock } = deps
  const { demandId, demand, spec, avoided, claims, note, emit } = input
  const fresh: Candidate[] = []
  const drafts: Candidate[] = []
  const countered = new Map<string, Candidate>()
  const signings = new Map<string, number>()
  const tally = createOfferTally()
  let isReplacing = false
  let nobodyLeftSinceMs: number | undefined

  const refuse = (providerId: string, name: string, reason: string) => {
    note(`${name} rejected our proposal: ${reason}`)
    tally.refused(name, reason)
    emit({ kind: 'offer', phase: 'refused', name, reason }, providerId)
  }
  const absorb = (proposal: Proposal) => {
    const view = viewOffer(proposal.issuerId, proposal.properties, spec)
    const previous = proposal.prevProposalId === undefined ? undefined : countered.get(proposal.prevProposalId)
    if (proposal.prevProposalId !== undefined) countered.delete(proposal.prevProposalId)
    const verdict = judgeOffer(proposal.issuerId, view, input)
    tally.seen(proposal.issuerId, verdict.kind)
    if (!view || verdict.kind !== 'fits') {
      const reason = 'reason' in verdict ? { reason: verdict.reason } : {}
      return emit({ kind: 'offer', phase: 'refused', ...reason }, proposal.issuerId)
    }
    if (proposal.state === 'Draft')
      drafts.push({ proposal, view, round: previous?.round ?? 1, asked: previous?.asked ?? demand })
    else {
      fresh.push({ proposal, view, round: 0, asked: demand })
      emit({ kind: 'offer', phase: 'found', name: view.name, pricePerHour: view.perHour }, view.providerId)
    }
    for (const list of [fresh, drafts]) list.sort((a, b) => byPrice(a.view, b.view)).splice(CANDIDATES_MAX)
  }
  const counter = async (candidate: Candidate, body: DemandOfferBase, signal: AbortSignal) => {
    const { proposalId } = candidate.proposal
    emit({ kind: 'offer', phase: 'countered', name: candidate.view.name }, candidate.view.providerId)
    try {
      const params = { subscriptionId: demandId, proposalId }
      const id = await client.market.counterOfferProposal({ params, body, signal })
      countered.set(id, { ...candidate, round: candidate.round + 1, asked: body, askedMs: clock.monotonicMs() })
    } catch (error) {
      signal.throwIfAborted()
      note(`${candidate.view.name}: the counter-proposal failed: ${messageOf(error)}`)
    }
  }
  const usable = (candidate: Candidate) =>
    !avoided.has(candidate.view.providerId) && !claims.has(candidate.view.providerId)
  /** The cheapest that may be taken now. Those claimed by others stay, since claims may be given back. */
  const takeBest = (list: Candidate[]): Candidate | undefined => {
    const at = list.findIndex(usable)
    return at < 0 ? undefined : list.splice(at, 1)[0]
  }
  /** How long each provider may still take that has been asked and has not answered. */
  const answersDueMs = () =>
    [...countered.values()]
      .map(({ askedMs = 0 }) => askedMs + ANSWER_LIMIT_MS - clock.monotonicMs())
      .filter((dueMs) => dueMs > 0)
  const counterFresh = async (signal: AbortSignal) => {
    const batch: Candidate[] = []
    while (answersDueMs().length + batch.length < NEGOTIATIONS_PARALLEL_MAX) {
      const best = takeBest(fresh)
      if (!best) break
      batch.push(best)
    }
    await Promise.all(batch.map((candidate) => counter(candidate, demand, signal)))
  }
  /** How long it makes sense to wait now that nobody is left to ask, in milliseconds. */
  const patienceMs = (): number => {
    const isSomebodyLeft = [...fresh, ...drafts].some(({ view }) => !avoided.has(view.providerId))
    if (tally.isEmpty() || isSomebodyLeft || answersDueMs().length > 0) nobodyLeftSinceMs = undefined
    else nobodyLeftSinceMs ??= clock.monotonicMs()
    if (nobodyLeftSinceMs === undefined) return Number.POSITIVE_INFINITY
    const waitedMs = clock.monotonicMs() - nobodyLeftSinceMs
    if (isReplacing) return REPLACEMENT_WAIT_MS - waitedMs
    return tally.isTooDear() ? AFFORDABLE_WAIT_MS - waitedMs : Number.POSITIVE_INFINITY
  }
  const pollEvents = async (waitMs: number, signal: AbortSignal) => {
    // Claimed candidates may become free at any time, so we do not wait long while there are some.
    const claimedMs = fresh.length + drafts.length > 0 ? 500 : Number.POSITIVE_INFINITY
    const timeout = Math.min(POLL_SECONDS * 1000, waitMs, claimedMs, ...answersDueMs()) / 1000
    const query = { timeout, maxEvents: 100 }
    const events = await client.market.getDemandEvents({ params: { subscriptionId: demandId }, query, signal })
    for (const event of events) {
      if (event.eventType === 'ProposalEvent') absorb(event.proposal)
      else {
        const rejected = countered.get(event.proposalId)
        countered.delete(event.proposalId)
        if (rejected) refuse(rejected.view.providerId, rejected.view.name, event.reason?.message ?? 'it gave no reason')
      }
    }
    if (events.length === 0 && timeout < 1) await clock.sleep(100, signal)
  }
  const findDraft = async (signal: AbortSignal): Promise<Candidate> => {
    for (;;) {
      const draft = takeBest(drafts)
      const revised = draft && revisedDemand(draft.asked, draft.proposal)
      if (draft && revised === undefined && claims.take(draft.view.providerId)) return draft
      if (draft && revised && draft.round < ROUNDS_MAX) await counter(draft, revised, signal)
      await counterFresh(signal)
      if (drafts.some(usable)) continue
      const waitMs = patienceMs()
      if (waitMs <= 0) throw nothingFound(tally)
      await abortable(pollEvents(waitMs, signal), signal)
    }
  }
  /** Drops what a provider has offered so far. It may offer again. */
  const forget = (providerId: string) => {
    for (const list of [fresh, drafts]) {
      list.splice(0, list.length, ...list.filter(({ view }) => view.providerId !== providerId))
    }
  }
  const next = async (signal: AbortSignal): Promise<Signed> => {
    emit({ kind: 'offer', phase: 'search' })
    for (;;) {
      const draft = await withLimit(clock, input.findMs, signal, () => nothingFound(tally, input.findMs), findDraft)
      const { providerId, name } = draft.view
      const signed = await sign(deps, input, draft, tally, signal).catch((error) => {
        claims.release(providerId)
        throw error
      })
      if (signed) return signed
      claims.release(providerId)
      forget(providerId)
      signings.set(providerId, (signings.get(providerId) ?? 0) + 1)
      if ((signings.get(providerId) ?? 0) < SIGNINGS_MAX) continue
      note(`${name} is not asked any more: it has not signed ${SIGNINGS_MAX} times`)
      avoided.add(providerId)
    }
  }
  const exclude = (providerId: string) => {
    isReplacing = true
    avoided.add(providerId)
    forget(providerId)
  }
  return { next, exclude }
}

type OfferVerdict =
  | { readonly kind: 'fits' | 'avoided' }
  | { readonly kind: 'too-dear' | 'unsuitable'; readonly reason: string }

function judgeOffer(providerId: string, view: OfferView | undefined, input: NegotiationInput): OfferVerdict {
  const { spec, perHourMax, max, avoided } = input
  if (avoided.has(providerId) || spec.avoid?.includes(providerId)) return { kind: 'avoided' }
  if (spec.only && !spec.only.includes(providerId)) return { kind: 'avoided' }
  if (!view) return { kind: 'unsuitable', reason: 'it has no linear pricing we can read' }
  if (perHourMax !== undefined && view.perHour > perHourMax)
    return { kind: 'too-dear', reason: 'an hour costs more than the budget allows' }
  if (costOfUse(view.pricing, BUDGET_SECONDS_MIN, spec.threads ?? view.threads) > max)
    return { kind: 'too-dear', reason: `the budget does not pay for ${BUDGET_SECONDS_MIN} s of full use` }
  return { kind: 'fits' }
}

/**
 * Golem wire: properties that end in `?` must be equal on both sides, or absent on both. Undefined when they are; else our
 * demand with the provider's values.
 */
export function revisedDemand(demand: DemandOfferBase, proposal: Proposal): DemandOfferBase | undefined {
  const differing = Object.keys(demand.properties).filter(
    (name) => name.endsWith('?') && demand.properties[name] !== proposal.properties[name],
  )
  if (differing.length === 0) return undefined
  const kept = Object.entries(demand.properties).filter(([name]) => !differing.includes(name))
  const adopted = differing
    .filter((name) => name in proposal.properties)
    .map((name) => [name, proposal.properties[name]])
  return { ...demand, properties: Object.fromEntries([...kept, ...adopted]) }
}

/** Signs with the provider of a draft. Undefined when it does not want to. */
async function sign(
  deps: SdkDeps,
  input: NegotiationInput,
  { proposal, view }: Candidate,
  tally: OfferTally,
  signal: AbortSignal,
): Promise<Signed | undefined> {
  const { client, clock } = deps
  const { negotiateMs, note, emit, appSessionId } = input
  let agreementId: string | undefined
  try {
    return await withLimit(
      clock,
      negotiateMs,
      signal,
      () => new Error('the provider took too long'),
      async (limited) => {
        const validTo = fromMs(clock.nowMs() + negotiateMs)
        agreementId = await client.market.createAgreement({
          body: { proposalId: proposal.proposalId, validTo },
          signal: limited,
        })
        const params = { agreementId }
        emit({ kind: 'agreement', phase: 'proposed', agreementId }, view.providerId)
        await client.market.confirmAgreement({ params, query: { appSessionId }, signal: limited })
        await client.market.waitForApproval({ params, query: { timeout: negotiateMs / 1000 }, signal: limited })
        const agreement = await client.market.getAgreement({ params, signal: limited })
        const agreed = viewOffer(view.providerId, agreement.offer.properties, input.spec)
        if (!agreed || agreed.perHour > view.perHour) throw new Error('the agreement is not what was offered')
        emit({ kind: 'agreement', phase: 'signed', agreementId }, view.providerId)
        return { agreement, view: agreed }
      },
    )
  } catch (error) {
    if (agreementId !== undefined) await dropAgreement(deps, agreementId)
    if (signal.aborted) throw abortedError('negotiate', signal.reason)
    const reason = messageOf(error)
    note(`${view.name} did not sign: ${reason}`)
    tally.refused(view.name, reason)
    emit({ kind: 'agreement', phase: 'refused', agreementId: agreementId ?? '', reason }, view.providerId)
    return undefined
  }
}

/** Takes back an agreement that may or may not have been approved meanwhile. */
async function dropAgreement({ client, clock, log }: SdkDeps, agreementId: string): Promise<void> {
  const params = { agreementId }
  const reason = { message: 'Cancelled by the requestor', 'golem.requestor.code': 'Cancelled' }
  const drop = async (signal: AbortSignal) => {
    try {
      await client.market.cancelAgreement({ params, body: reason, signal })
    } catch {
      signal.throwIfAborted()
      await client.market.terminateAgreement({ params, body: reason, signal })
    }
  }
  const tooSlow = () => new Error('the provider does not answer')
  await withLimit(clock, ABORT_CLEANUP_MS / 2, undefined, tooSlow, drop).catch((error) => {
    log.debug('an agreement that failed could not be taken back', { agreementId, error: messageOf(error) })
  })
}
