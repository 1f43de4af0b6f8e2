import { GolemError } from './errors.ts'
import { REFUSALS_NAMED_MAX } from './limits.ts'

/** What a search has seen, to say why it found nothing. Providers count once, however often they offer. */
export interface OfferTally {
  seen(providerId: string, verdict: 'fits' | 'avoided' | 'too-dear' | 'unsuitable'): void
  /** A provider, by its name, does not want to. */
  refused(name: string, reason: string): void
  /** Whether nothing at all has been seen. */
  isEmpty(): boolean
  /** Whether all that was seen costs too much. */
  isTooDear(): boolean
  counts(): Readonly<Record<'fits' | 'avoided' | 'too-dear' | 'unsuitable', number>>
  /** The last refusal of each provider, as text. */
  refusals(): readonly string[]
}

export function createOfferTally(): OfferTally {
  const verdicts = new Map<string, 'fits' | 'avoided' | 'too-dear' | 'unsuitable'>()
  const refusals = new Map<string, string>()
  const counts = () => {
    const sums = { fits: 0, avoided: 0, 'too-dear': 0, unsuitable: 0 }
    for (const verdict of verdicts.values()) sums[verdict]++
    return sums
  }
  return {
    // What fitted once stays so: a provider that has failed is avoided later, and was suitable all the same.
    seen: (providerId, verdict) => void (verdicts.get(providerId) !== 'fits' && verdicts.set(providerId, verdict)),
    refused: (name, reason) => void refusals.set(name, reason),
    isEmpty: () => verdicts.size === 0,
    isTooDear: () => counts()['too-dear'] > 0 && counts().fits === 0,
    counts,
    refusals: () => [...refusals].map(([name, reason]) => `${name}: ${reason}`),
  }
}

/** Why a search ended without a provider: after `findMs`, or before when nobody was left to ask. */
export function nothingFound(tally: OfferTally, findMs?: number): GolemError {
  const within = findMs === undefined ? '' : ` within ${findMs / 1000} s`
  const counts = tally.counts()
  const base = { phase: 'find', retryable: true, facts: counts } as const
  if (tally.isTooDear()) {
    const hint = 'Raise budget.perHour or budget.max; quote() shows the prices'
    const message = `all offers are above the budget (${providers(counts['too-dear'])})`
    return new GolemError('market.too-dear', message, { ...base, blame: 'user', hint })
  }
  if (counts.fits === 0) {
    const hint = 'Ask for less (threads, memory, constraints), check the subnet, or wait longer (limits.find, --wait)'
    return new GolemError('market.no-offers', `no offer fits${within}`, { ...base, blame: 'network', hint })
  }
  const refusals = tally.refusals()
  const named = refusals.slice(0, REFUSALS_NAMED_MAX).join('; ')
  const more = refusals.length > REFUSALS_NAMED_MAX ? `; and ${refusals.length - REFUSALS_NAMED_MAX} more` : ''
  const why = refusals.length > 0 ? named + more : 'they do not answer'
  const message = `${providers(counts.fits)} would do, but none agreed${within} (${why})`
  const hint = 'They may be busy: try again later, or wait longer (limits.find, --wait)'
  return new GolemError('market.no-agreement', message, { ...base, blame: 'provider', hint })
}

const providers = (count: number) => (count === 1 ? 'one provider' : `${count} providers`)
