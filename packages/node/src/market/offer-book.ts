import type { InstantUs, NodeId } from '@emet/core'
import { type CompiledContent, compileContent, isSuited, mismatchOf } from './content.ts'
import { tally } from './funnel.ts'
import { shardOf } from './rendezvous.ts'
import { expiryOf } from './signed-offer.ts'
import type { SignedOffer } from './types.ts'

/** Offers that one search looks at. A search of a fuller book starts somewhere else each round. */
export const SEARCH_EXAMINED_MAX = 50_000
/** Mismatches that one search explains; the rest count as `not examined`. */
export const EXPLAINED_MAX = 1_000

/** A question to a book. */
export type Query = {
  /** Whoever asks; its own offers never match. Undefined for scans. */
  readonly nodeId: NodeId | undefined
  /** A scan looks at the offer's properties only. */
  readonly kind: 'demand' | 'scan'
  readonly content: CompiledContent
  /** All when undefined. */
  readonly shards: ReadonlySet<number> | undefined
}

export type SearchResult = {
  readonly offers: readonly SignedOffer[]
  readonly seen: number
  readonly dropped: Readonly<Record<string, number>>
}

export type BookEntry = {
  readonly offer: SignedOffer
  readonly content: CompiledContent
  readonly shard: number
  readonly expiresUs: InstantUs
  /** Counts up; the order of insertion. */
  readonly seq: number
}

/** Offers in memory, and the standing queries over them. Offers are verified before they come here. */
export interface OfferBook {
  /** Takes offers and tells the standing queries. Returns, per offer, why it was refused, if it was. */
  put(offers: readonly SignedOffer[], nowUs: InstantUs): (string | undefined)[]
  remove(id: string): void
  removeOf(provider: NodeId): void
  get(id: string): BookEntry | undefined
  idsOf(provider: NodeId): readonly string[]
  /** The best matches in an order that favours nobody: pseudo-random by `salt`, each provider's first offer first. */
  search(query: Query, options: { limit: number; salt: string; nowUs: InstantUs }): SearchResult
  /** Entries after `seq`, by insertion. */
  after(seq: number): BookEntry[]
  /** Calls `onMatches` with each batch of new matching offers. Returns how to stop. */
  watch(query: Query, onMatches: (offers: readonly SignedOffer[], seen: SearchResult) => void): () => void
  /** Calls `listener` after each `put` that kept something. */
  onPut(listener: () => void): () => void
  /** Removes what has expired. */
  expire(nowUs: InstantUs): void
  readonly size: number
}

type Entry = BookEntry & { at: number }
type StandingQuery = { query: Query; onMatches: (offers: readonly SignedOffer[], seen: SearchResult) => void }

export function createOfferBook(options: { offersMax: number; offersPerProviderMax: number }): OfferBook {
  const entries: Entry[] = []
  const byId = new Map<string, Entry>()
  const byProvider = new Map<NodeId, Set<string>>()
  const standing = new Set<StandingQuery>()
  const listeners = new Set<() => void>()
  let seq = 0

  const remove = (id: string) => {
    const entry = byId.get(id)
    if (!entry) return
    byId.delete(id)
    const last = entries.pop()
    if (last && last !== entry) {
      entries[entry.at] = last
      last.at = entry.at
    }
    const ids = byProvider.get(entry.offer.nodeId)
    ids?.delete(id)
    if (ids?.size === 0) byProvider.delete(entry.offer.nodeId)
  }
  const insert = (offer: SignedOffer): string | undefined => {
    const ids = byProvider.get(offer.nodeId) ?? new Set<string>()
    if (ids.size >= options.offersPerProviderMax)
      return `more than ${options.offersPerProviderMax} offers of a provider`
    if (entries.length >= options.offersMax) return `the index holds ${options.offersMax} offers already`
    const content = compileContent(offer)
    const entry = {
      offer,
      content,
      shard: shardOf(offer.nodeId),
      expiresUs: expiryOf(offer),
      seq: ++seq,
      at: entries.length,
    }
    entries.push(entry)
    byId.set(offer.id, entry)
    byProvider.set(offer.nodeId, ids.add(offer.id))
    return undefined
  }
  const tell = (fresh: readonly Entry[]) => {
    for (const { query, onMatches } of [...standing]) {
      const result = sift(fresh, query)
      if (result.seen > 0) onMatches(result.offers, result)
    }
    for (const listener of [...listeners]) listener()
  }
  return {
    put: (offers, nowUs) => {
      const fresh: Entry[] = []
      const results = offers.map((offer) => {
        if (byId.has(offer.id)) return undefined
        if (expiryOf(offer) <= nowUs) return 'it has expired'
        const refusal = attempt(() => insert(offer))
        const entry = byId.get(offer.id)
        if (entry) fresh.push(entry)
        return refusal
      })
      if (fresh.length > 0) tell(fresh)
      return results
    },
    remove,
    removeOf: (provider) => {
      for (const id of [...(byProvider.get(provider) ?? [])]) remove(id)
    },
    get: (id) => byId.get(id),
    idsOf: (provider) => [...(byProvider.get(provider) ?? [])],
    search: (query, { limit, salt, nowUs }) => search(entries, query, limit, salt, nowUs),
    after: (from) => entries.filter((entry) => entry.seq > from).sort((a, b) => a.seq - b.seq),
    watch: (query, onMatches) => {
      const item = { query, onMatches }
      standing.add(item)
      return () => void standing.delete(item)
    },
    onPut: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    expire: (nowUs) => {
      for (const entry of entries.filter((each) => each.expiresUs <= nowUs)) remove(entry.offer.id)
    },
    get size() {
      return entries.length
    },
  }
}

function search(entries: readonly Entry[], query: Query, limit: number, salt: string, nowUs: InstantUs): SearchResult {
  const start = entries.length > SEARCH_EXAMINED_MAX ? hashOf(salt) % entries.length : 0
  const examined = Math.min(entries.length, SEARCH_EXAMINED_MAX)
  const slice = [
    ...entries.slice(start, start + examined),
    ...entries.slice(0, Math.max(0, start + examined - entries.length)),
  ]
  const result = sift(
    slice.filter((entry) => entry.expiresUs > nowUs),
    query,
  )
  return { ...result, offers: fairOrder(result.offers, salt).slice(0, limit) }
}

/** Which entries match, and why the others do not. */
function sift(entries: readonly BookEntry[], query: Query): SearchResult {
  const dropped: Record<string, number> = {}
  const offers: SignedOffer[] = []
  let seen = 0
  for (const entry of entries) {
    if (query.shards && !query.shards.has(entry.shard)) continue
    if (entry.offer.nodeId === query.nodeId) continue
    seen++
    if (isSuited(query.content, entry.content, query.kind)) offers.push(entry.offer)
    else if (seen - offers.length > EXPLAINED_MAX) tally(dropped, 'not examined', 1)
    else tally(dropped, mismatchOf(query.content, entry.content, query.kind) ?? 'no match', 1)
  }
  return { offers, seen, dropped }
}

/**
 * An order in which no provider gains by having many offers, or by its id: pseudo-random by `salt`, all providers' first
 * offers before anybody's second.
 */
export function fairOrder(offers: readonly SignedOffer[], salt: string): SignedOffer[] {
  const turns = new Map<NodeId, number>()
  return offers
    .map((offer) => ({ offer, score: hashOf(salt + offer.id) }))
    .sort((a, b) => a.score - b.score)
    .map(({ offer }) => {
      const turn = turns.get(offer.nodeId) ?? 0
      turns.set(offer.nodeId, turn + 1)
      return { offer, turn }
    })
    .sort((a, b) => a.turn - b.turn)
    .map(({ offer }) => offer)
}

/** FNV-1a with a final mix: cheap, and well spread. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** An offer whose content cannot be compiled is refused, not thrown. */
function attempt(work: () => string | undefined): string | undefined {
  try {
    return work()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
