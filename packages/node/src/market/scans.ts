import { BusError } from '@emet/bus'
import type { AbortOptions, NodeId, Offer } from '@emet/core'
import { type CompiledContent, compileContent, isSuited } from './content.ts'
import type { MarketContext } from './context.ts'
import { offerDocument } from './documents.ts'
import { MarketError } from './errors.ts'
import type { Finder } from './finder.ts'
import {
  CONSTRAINTS_BYTES_MAX,
  SCAN_BATCH_LENGTH,
  SCAN_IDLE_MS,
  SCAN_IDLE_MS_MAX,
  SCANS_MAX,
  SCANS_PER_IDENTITY_MAX,
} from './limits.ts'
import type { OfferBook } from './offer-book.ts'
import type { PollOptions, Scans, SubscriptionKind } from './types.ts'

const SCAN_KEY = 'scans'
/** The longest sleep of a stream between two looks at whether its scan still lives. */
const STREAM_POLL_MS = 15_000

type Scan = {
  readonly id: string
  readonly owner: NodeId
  readonly type: SubscriptionKind
  readonly constraints: string
  readonly content: CompiledContent
  readonly idleMs: number
  lastMs: number
  seq: number
}

export type ScanService = Scans & {
  /** Ends scans that nobody collects from. */
  expire(): void
  stopAll(): void
}

/** Looks through all known offers by insertion, and asks the index peers for more meanwhile. */
export function createScans(context: MarketContext, known: OfferBook, finder: Finder): ScanService {
  const { clock, wakeups } = context
  const scans = new Map<string, Scan>()
  let nextId = 0
  const unlisten = known.onPut(() => wakeups.wake(SCAN_KEY))

  const end = (id: string) => {
    scans.delete(id)
    finder.remove(scanWatchId(id))
    wakeups.wake(SCAN_KEY)
  }
  const find = (owner: NodeId, id: string): Scan => {
    const scan = scans.get(id)
    if (!scan)
      throw new MarketError('scan-not-found', `Scan [${id}] not found; it may have been idle too long.`, { id })
    if (scan.owner !== owner) throw new MarketError('scan-of-another', `Scan [${id}] is not yours.`, { id })
    scan.lastMs = clock.monotonicMs()
    return scan
  }
  const collect: Scans['collect'] = async (owner, id, { peerId, ...options }) => {
    const scan = find(owner, id)
    if (peerId) return askPeer(context, finder, scan, peerId, options)
    const found = await wakeups.until(SCAN_KEY, options, () => next(context, known, find(owner, id), options.maxEvents))
    return found ?? []
  }
  return {
    start: (owner, request) => {
      checkRoom([...scans.values()], owner)
      const constraints = request.constraints ?? '()'
      if (constraints.length > CONSTRAINTS_BYTES_MAX)
        throw new MarketError('bad-content', 'the constraints are too long')
      const content = compileContent({ properties: '{}', constraints })
      const id = String(nextId++)
      const idleMs = Math.min(request.timeoutMs ?? SCAN_IDLE_MS, SCAN_IDLE_MS_MAX)
      scans.set(id, {
        id,
        owner,
        type: request.type,
        constraints,
        content,
        idleMs,
        lastMs: clock.monotonicMs(),
        seq: 0,
      })
      if (request.type === 'offer')
        finder.add({ id: scanWatchId(id), kind: 'scan', nodeId: owner, properties: '{}', constraints })
      return id
    },
    collect,
    stream: (owner, id, options) => stream(collect, owner, id, options),
    stop: (owner, id) => {
      find(owner, id)
      end(id)
    },
    expire: () => {
      for (const scan of [...scans.values()]) if (clock.monotonicMs() - scan.lastMs > scan.idleMs) end(scan.id)
    },
    stopAll: () => {
      unlisten()
      for (const id of [...scans.keys()]) end(id)
    },
  }
}

const scanWatchId = (id: string) => `scan-${id}`

function checkRoom(scans: readonly Scan[], owner: NodeId): void {
  const own = scans.filter((scan) => scan.owner === owner).length
  if (scans.length < SCANS_MAX && own < SCANS_PER_IDENTITY_MAX) return
  throw new MarketError('limit', `there are ${own} scans of yours; stop some (at most ${SCANS_PER_IDENTITY_MAX})`)
}

/** The next offers after the scan's cursor. Demands are never found: they are not published. */
function next({ instants }: MarketContext, known: OfferBook, scan: Scan, max: number): Offer[] | undefined {
  if (scan.type === 'demand') return undefined
  const offers: Offer[] = []
  for (const entry of known.after(scan.seq)) {
    if (offers.length >= max) break
    scan.seq = entry.seq
    if (entry.expiresUs <= instants.now() || !isSuited(scan.content, entry.content, 'scan')) continue
    offers.push(offerDocument(entry.offer))
  }
  return offers.length > 0 ? offers : undefined
}

async function askPeer(
  context: MarketContext,
  finder: Finder,
  scan: Scan,
  peer: NodeId,
  options: PollOptions,
): Promise<Offer[]> {
  const { id, owner: nodeId, constraints } = scan
  const interest = { id: scanWatchId(id), kind: 'scan' as const, nodeId, properties: '{}', constraints }
  try {
    const signal = options.signal ? AbortSignal.any([options.signal, context.tasks.signal]) : context.tasks.signal
    const offers = await finder.askOnce(peer, interest, signal)
    return offers
      .filter((offer) => isSuited(scan.content, compileContent(offer), 'scan'))
      .slice(0, options.maxEvents)
      .map(offerDocument)
  } catch (cause) {
    if (!(cause instanceof BusError)) throw cause
    const why = cause.code === 'no-endpoint' ? 'it cannot answer scans' : cause.message
    throw new MarketError(
      'peer-unreachable',
      `node ${peer} was not scanned: ${why}`,
      { busCode: cause.code },
      { cause },
    )
  }
}

async function* stream(
  collect: Scans['collect'],
  owner: NodeId,
  id: string,
  options: AbortOptions,
): AsyncIterable<Offer> {
  for (;;) {
    options.signal?.throwIfAborted()
    yield* await collect(owner, id, { ...options, timeoutMs: STREAM_POLL_MS, maxEvents: SCAN_BATCH_LENGTH })
  }
}
