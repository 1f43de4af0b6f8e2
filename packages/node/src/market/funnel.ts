import { FUNNEL_KEY_LENGTH_MAX, FUNNEL_KEYS_MAX, FUNNELS_MAX } from './limits.ts'
import type { Funnel, SubscriptionKind } from './types.ts'

/** What happened to one counterpart of a subscription. */
export type FunnelStep =
  | { readonly step: 'seen'; readonly count?: number }
  | { readonly step: 'dropped'; readonly why: string; readonly count?: number }
  | { readonly step: 'matched' | 'countered' | 'counteredByPeer' | 'agreementsProposed' | 'agreementsSigned' }
  | { readonly step: 'rejected' | 'rejectedByPeer' | 'agreementsLost'; readonly why: string }

/** Counts, in memory, where the counterparts of each subscription went. */
export interface Funnels {
  add(subscriptionId: string, kind: SubscriptionKind, step: FunnelStep): void
  get(subscriptionId: string): Funnel | undefined
}

type Mutable<T> = {
  -readonly [K in keyof T]: T[K] extends Readonly<Record<string, number>> ? Record<string, number> : T[K]
}

/** Keeps the `FUNNELS_MAX` most recently touched funnels; each with `FUNNEL_KEYS_MAX` keys per tally. */
export function createFunnels(): Funnels {
  const funnels = new Map<string, Mutable<Funnel>>()

  const touch = (subscriptionId: string, kind: SubscriptionKind) => {
    const funnel = funnels.get(subscriptionId) ?? emptyFunnel(subscriptionId, kind)
    funnels.delete(subscriptionId)
    funnels.set(subscriptionId, funnel)
    if (funnels.size > FUNNELS_MAX) funnels.delete(funnels.keys().next().value ?? '')
    return funnel
  }
  return {
    add: (subscriptionId, kind, step) => {
      const funnel = touch(subscriptionId, kind)
      if (step.step === 'seen') funnel.seen += step.count ?? 1
      else if (step.step === 'dropped') tally(funnel.dropped, step.why, step.count ?? 1)
      else if ('why' in step) tally(funnel[step.step], step.why, 1)
      else funnel[step.step] += 1
    },
    get: (subscriptionId) => {
      const funnel = funnels.get(subscriptionId)
      return funnel && structuredClone(funnel)
    },
  }
}

/** Adds to a tally; keys beyond the limit are summed under `other`. */
export function tally(into: Record<string, number>, key: string, count: number): void {
  const short = key.length > FUNNEL_KEY_LENGTH_MAX ? `${key.slice(0, FUNNEL_KEY_LENGTH_MAX)}…` : key
  const isKnown = Object.hasOwn(into, short)
  const name = isKnown || Object.keys(into).length < FUNNEL_KEYS_MAX ? short : 'other'
  into[name] = (Object.hasOwn(into, name) ? (into[name] ?? 0) : 0) + count
}

/** The funnel of a subscription that nothing has happened to yet. */
export function emptyFunnel(subscriptionId: string, kind: SubscriptionKind): Mutable<Funnel> {
  return {
    subscriptionId,
    kind,
    seen: 0,
    dropped: emptyTally(),
    matched: 0,
    countered: 0,
    counteredByPeer: 0,
    rejected: emptyTally(),
    rejectedByPeer: emptyTally(),
    agreementsProposed: 0,
    agreementsSigned: 0,
    agreementsLost: emptyTally(),
  }
}

/** Without a prototype: the keys are texts of peers, and `__proto__` is one. */
const emptyTally = (): Record<string, number> => Object.create(null)
