import type { OfferEvent, RequestorEvent } from '@emet/core'
import { randomFraction } from '@emet/core'
import type { MarketContext } from './context.ts'
import { queuedEventDocument } from './documents.ts'
import type { QueuedEvent } from './proposal-store.ts'

/** Key of the polls on a subscription's queue. */
export const queueKey = (subscriptionId: string) => `queue:${subscriptionId}`

/**
 * Takes events from a queue for good: rejections and agreements first, oldest first, then proposals in random order, so
 * that no provider is preferred (REST 2.3). Undefined when there is none.
 */
export function takeEvents(context: MarketContext, subscriptionId: string, max: number): OfferEvent[] | undefined {
  const { store } = context
  const queued = store.proposals.queued(subscriptionId)
  if (queued.length === 0) return undefined
  const urgent = queued.filter((event) => event.kind !== 'proposal')
  const proposals = shuffle(
    queued.filter((event) => event.kind === 'proposal'),
    context,
  )
  const taken = [...urgent, ...proposals].slice(0, max)
  store.proposals.dequeue(taken.map((event) => event.row))
  const find = {
    proposal: store.proposals.get,
    agreement: (id: string) => store.agreements.get(id, 'provider'),
  }
  const documents = taken.flatMap((event) => queuedEventDocument(event, find) ?? [])
  return documents.length > 0 ? documents : undefined
}

/** The events of a demand: it never has agreement events. */
export function ofDemand(events: readonly OfferEvent[]): RequestorEvent[] {
  return events.filter((event): event is RequestorEvent => event.eventType !== 'AgreementEvent')
}

/** A partial Fisher-Yates over a copy. */
function shuffle<T extends QueuedEvent>(items: readonly T[], { random }: MarketContext): T[] {
  const out = [...items]
  for (let at = out.length - 1; at > 0; at--) {
    const other = Math.floor(randomFraction(random) * (at + 1))
    const [a, b] = [out[at], out[other]]
    if (a === undefined || b === undefined) continue
    out[at] = b
    out[other] = a
  }
  return out
}
