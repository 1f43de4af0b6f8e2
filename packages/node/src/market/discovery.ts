import type { Bus } from '@emet/bus'
import { nodeIdSchema } from '@emet/core'
import { z } from 'zod'
import { DISCOVERY_PAGE_LENGTH, TEXT_LENGTH_MAX } from './limits.ts'
import type { BookEntry, OfferBook } from './offer-book.ts'
import { parse } from './watch-service.ts'

const BASE = '/public/market/protocol/mk1/discovery/offers'

const getSchema = z.object({ offerIds: z.array(z.string().max(TEXT_LENGTH_MAX)).max(DISCOVERY_PAGE_LENGTH) })
const querySchema = z.object({
  nodeId: nodeIdSchema.nullish(),
  constraintExpr: z.string().nullish(),
  iterator: z.union([z.instanceof(Uint8Array), z.array(z.int())]).nullish(),
})

/**
 * Answers the original's discovery messages `Get` and `Query`, so that original nodes can pull the offers we know. We
 * never broadcast and never ask others this way. Golem wire §4.2. Returns how to stop.
 */
export function bindDiscovery(bus: Bus, known: OfferBook, nowUs: () => number): () => void {
  const isAlive = (entry: BookEntry) => entry.expiresUs > nowUs()
  const undo = [
    bus.bind(`${BASE}/Get`, async (call) => {
      const { offerIds } = parse(getSchema, call)
      return offerIds
        .map((id) => known.get(id))
        .filter((entry) => entry !== undefined)
        .filter(isAlive)
        .map(toWire)
    }),
    bus.bind(`${BASE}/Query`, async (call) => {
      const { nodeId, iterator } = parse(querySchema, call)
      const rest = known.after(iterator ? seqOf(Uint8Array.from(iterator)) : 0)
      const wanted = rest.filter((entry) => isAlive(entry) && (!nodeId || entry.offer.nodeId === nodeId))
      const page = wanted.slice(0, DISCOVERY_PAGE_LENGTH)
      const isLast = page.length === wanted.length
      return {
        offers: page.map((entry) => entry.offer.id),
        iterator: isLast ? null : iteratorOf(page.at(-1)?.seq ?? 0),
      }
    }),
  ]
  return () => {
    for (const step of undo) step()
  }
}

function toWire({ offer }: BookEntry) {
  return {
    id: offer.id,
    properties: offer.properties,
    constraints: offer.constraints,
    node_id: offer.nodeId,
    creation_ts: offer.creationTs,
    insertion_ts: null,
    expiration_ts: offer.expirationTs,
  }
}

/** Where the next page begins; opaque to the asker. */
function iteratorOf(seq: number): Uint8Array {
  return new TextEncoder().encode(String(seq))
}

function seqOf(iterator: Uint8Array): number {
  const seq = Number(new TextDecoder().decode(iterator.subarray(0, 20)))
  return Number.isSafeInteger(seq) && seq >= 0 ? seq : 0
}
