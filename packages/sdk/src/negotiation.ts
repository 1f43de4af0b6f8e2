import { type Agreement, type DemandOfferBase, fromMs, messageOf, type Proposal } from '@emet/core'
import type { SdkDeps } from './daemon.ts'
import { abortedError } from './daemon-errors.ts'
import { GolemError } from './errors.ts'
import type { SdkEventBody } from './events.ts'
import { ABORT_CLEANUP_MS, CANDIDATES_MAX, NEGOTIATIONS_PARALLEL_MAX, POLL_SECONDS } from './limits.ts'
import { byPrice, type OfferView, viewOffer } from './offers.ts'
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

/** `asked` is our own last word to the provider. */
type Candidate = {
  readonly proposal: Proposal
  readonly view: OfferView
  readonly round: number
  readonly asked: DemandOfferBase
}

/** Looks for providers by one demand, cheapest first, and signs with one at a time. */
export interface Negotiation {
  /** The next provider that signs. Throws `GolemError` when the limits are met. */
  next(signal: AbortSignal): Promise<Signed>
}

export function createNegotiation(deps: SdkDeps, input: NegotiationInput): Negotiation {
  const { client, clock } = deps
  const { demandId, demand, spec, avoided, claims, note, emit } = input
  const fresh: Candidate[] = []
  const drafts: Candidate[] = []
  const countered = new Map<string, Candidate>()
  const seen = { offers: 0, tooDear: 0, unsuitable: 0 }

  const absorb = (proposal: Proposal) => {
    const view = viewOffer(proposal.issuerId, proposal.properties, spec)
    const refusal = view ? refusalOf(view, input) : 'it has no linear pricing we can read'
    const previous = proposal.prevProposalId === undefined ? undefined : countered.get(proposal.prevProposalId)
    if (proposal.prevProposalId !== undefined) countered.delete(proposal.prevProposalId)
    else seen.offers++
    if (!view || refusal) {
      if (view) seen.tooDear += refusal === 'avoided' ? 0 : 1
      else seen.unsuitable++
      return emit({ kind: 'offer', phase: 'refused', ...(refusal ? { reason: refusal } : {}) }, proposal.issuerId)
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
      countered.set(id, { ...candidate, round: candidate.round + 1, asked: body })
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
  const counterFresh = async (signal: AbortSignal) => {
    const batch: Candidate[] = []
    while (countered.size + batch.length < NEGOTIATIONS_PARALLEL_MAX) {
      const best = takeBest(fresh)
      if (!best) break
      batch.push(best)
    }
    await Promise.all(batch.map((candidate) => counter(candidate, demand, signal)))
  }
  const pollEvents = async (signal: AbortSignal) => {
    // Claimed candidates may become free at any time, so we do not wait long while there are some.
    const timeout = fresh.length + drafts.length > 0 ? 0.5 : POLL_SECONDS
    const query = { timeout, maxEvents: 100 }
    const events = await client.market.getDemandEvents({ params: { subscriptionId: demandId }, query, signal })
    for (const event of events) {
      if (event.eventType === 'ProposalEvent') absorb(event.proposal)
      else {
        const rejected = countered.get(event.proposalId)
        countered.delete(event.proposalId)
        if (!rejected) continue
        const reason = event.reason?.message ?? 'no reason given'
        note(`${rejected.view.name} rejected our proposal: ${reason}`)
        emit({ kind: 'offer', phase: 'refused', name: rejected.view.name, reason }, rejected.view.providerId)
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
      if (!drafts.some(usable)) await abortable(pollEvents(signal), signal)
    }
  }
  const next = async (signal: AbortSignal): Promise<Signed> => {
    emit({ kind: 'offer', phase: 'search' })
    for (;;) {
      const draft = await withLimit(clock, input.findMs, signal, () => nothingFound(seen, input.findMs), findDraft)
      const signed = await sign(deps, input, draft, signal).catch((error) => {
        claims.release(draft.view.providerId)
        throw error
      })
      if (signed) return signed
      claims.release(draft.view.providerId)
      avoided.add(draft.view.providerId)
    }
  }
  return { next }
}

function refusalOf(view: OfferView, input: NegotiationInput): string | undefined {
  const { spec, perHourMax, max, avoided } = input
  if (avoided.has(view.providerId) || spec.avoid?.includes(view.providerId)) return 'avoided'
  if (spec.only && !spec.only.includes(view.providerId)) return 'avoided'
  if (perHourMax !== undefined && view.perHour > perHourMax) return 'an hour costs more than the budget allows'
  return BigInt(Math.ceil(view.pricing.fixed * 1e9)) * 10n ** 9n > max
    ? 'the start price is above the budget'
    : undefined
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

function nothingFound(seen: { offers: number; tooDear: number; unsuitable: number }, findMs: number): GolemError {
  const within = `within ${findMs / 1000} s`
  const facts = { ...seen }
  const base = { phase: 'find', retryable: true, facts } as const
  if (seen.offers === 0) {
    const hint = 'Ask for less (threads, memory, constraints), check the subnet, or give limits.find more time'
    return new GolemError('market.no-offers', `no offer fits ${within}`, { ...base, blame: 'network', hint })
  }
  if (seen.tooDear + seen.unsuitable >= seen.offers && seen.tooDear > 0) {
    const hint = 'Raise budget.perHour or budget.max; quote() shows the prices'
    return new GolemError('market.too-dear', `all ${seen.offers} offers are above the budget`, {
      ...base,
      blame: 'user',
      hint,
    })
  }
  const message = `${seen.offers} offers fit, but no provider agreed ${within}`
  return new GolemError('market.no-agreement', message, { ...base, blame: 'provider', hint: 'The transcript says why' })
}
