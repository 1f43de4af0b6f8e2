import type { InstantUs, NodeId, Offer } from '@emet/core'
import { createAgreementHandlers } from './agreement-handlers.ts'
import { createLedger } from './agreement-ledger.ts'
import { createSettlement } from './agreement-settlement.ts'
import { type AgreementParts, createAgreements } from './agreements.ts'
import { compileContent, isSuited } from './content.ts'
import { createInstants, createTasks, defaultIdOf, type MarketContext } from './context.ts'
import { bindDiscovery } from './discovery.ts'
import { offerDocument } from './documents.ts'
import { createFinder, type Finder } from './finder.ts'
import { createFunnels, emptyFunnel } from './funnel.ts'
import {
  AGREEMENT_KEPT_MS,
  CLEANUP_INTERVAL_MS,
  OFFER_BOOK_LENGTH_MAX,
  OFFERS_PER_PROVIDER_MAX,
  SUBSCRIPTION_KEPT_MS,
  SUBSCRIPTIONS_MAX,
} from './limits.ts'
import { createNegotiationHandlers } from './negotiation-handlers.ts'
import { createNegotiations, type NegotiationService } from './negotiations.ts'
import { createOfferBook, type OfferBook } from './offer-book.ts'
import { type MarketOptionsInput, marketOptionsSchema } from './options.ts'
import { bindMessage, createSender } from './protocol.ts'
import { createPublisher } from './publisher.ts'
import { createRateLimit } from './rate-limit.ts'
import { createScans } from './scans.ts'
import { createMarketStore } from './store.ts'
import type { Market, MarketDeps, SignedOffer, Subscription } from './types.ts'
import { createWakeups } from './wakeups.ts'
import { createWatchService } from './watch-service.ts'

/** How long before a restart an unanswered proposal may have been made, to be sent again. */
const RESEND_WINDOW_MS = 600_000
/** How often the memory is swept: expired offers, idle scans, standing demands of others. */
const SWEEP_INTERVAL_MS = 30_000
/** Standing demands of other nodes over our own offers, where there is no index peer. */
const DIRECT_WATCHES_MAX = 2_000
/** Those of one node. */
const DIRECT_WATCHES_PER_CALLER_MAX = 100
const DIRECT_WATCH_TTL_MS = 900_000
/** Questions of one node about our own offers. */
const DIRECT_CALLS_PER_MINUTE_MAX = 600

/** The market of one daemon. Its tables are created at once; nothing else happens before `start`. */
export function createMarket(deps: MarketDeps, input: MarketOptionsInput = {}): Market {
  const context = createContext(deps, input)
  const { store, instants, funnels } = context
  const own = createOfferBook({ offersMax: SUBSCRIPTIONS_MAX * 10, offersPerProviderMax: SUBSCRIPTIONS_MAX })
  const known = createOfferBook({ offersMax: OFFER_BOOK_LENGTH_MAX, offersPerProviderMax: OFFERS_PER_PROVIDER_MAX })
  const spread = createSpread(deps, context, own, known)
  const demands = new Map<string, () => void>()

  const onSubscribed = (subscription: Subscription) => {
    const offer = signedOffer(subscription)
    if (offer) {
      own.put([offer], instants.now())
      known.put([offer], instants.now())
      spread.publisher.sync()
    } else {
      demands.set(subscription.id, followDemand(context, known, spread.finder, negotiations, subscription))
    }
  }
  const onUnsubscribed = ({ id }: Subscription) => {
    demands.get(id)?.()
    demands.delete(id)
    own.remove(id)
    known.remove(id)
    spread.publisher.sync()
  }
  const onOfferGone = (id: string) => known.remove(id)
  let peersBefore = ''
  const onPeerChange = () => {
    const peers = spread.peersAsked().join()
    if (peers !== peersBefore) {
      peersBefore = peers
      spread.publisher.sync()
      spread.finder.sync()
    }
    const connected = deps.net.peers().filter((peer) => peer.state === 'connected')
    parts.settlement.settleAll(new Set(connected.flatMap((peer) => [peer.nodeId, ...peer.aliases])))
  }
  const negotiations = createNegotiations(context, { onSubscribed, onUnsubscribed, onOfferGone })
  const ledger = createLedger(context)
  const parts: AgreementParts = {
    context,
    ledger,
    settlement: createSettlement(context, ledger),
    inFlight: { confirming: new Set(), terminating: new Map() },
    offerAgain: negotiations.offerAgain,
  }
  const agreements = createAgreements(parts)
  const scans = createScans(context, known, spread.finder)
  const upkeep = createUpkeep(context, () => {
    const nowUs = instants.now()
    own.expire(nowUs)
    known.expire(nowUs)
    spread.direct.expire()
    scans.expire()
    const live = new Set(store.subscriptions.active(nowUs, 'demand').map(({ id }) => id))
    for (const [id, forget] of [...demands]) {
      if (live.has(id)) continue
      demands.delete(id)
      forget()
    }
    for (const overdue of store.agreements.overdue(nowUs)) ledger.current(overdue)
  })
  const funnelOf = (owner: NodeId, id: string) => {
    const subscription = store.subscriptions.get(id)
    if (subscription?.nodeId !== owner) return undefined
    return funnels.get(id) ?? emptyFunnel(id, subscription.kind)
  }
  let undo: (() => void)[] = []
  return {
    negotiations,
    agreements,
    scans,
    explain: funnelOf,
    funnels: (owner) =>
      store.subscriptions.active(instants.now(), undefined, owner).flatMap(({ id }) => funnelOf(owner, id) ?? []),
    knownOffers: (constraints = '()') => knownOffers(known, constraints, instants.now()),
    onAgreement: ledger.listen,
    start: async () => {
      undo = bindAll(context, parts)
      undo.push(bindDiscovery(context.bus, known, instants.now), spread.direct.bind())
      undo.push(deps.net.onPeerChange(onPeerChange))
      spread.finder.start()
      spread.publisher.start()
      for (const subscription of store.subscriptions.active(instants.now())) onSubscribed(subscription)
      upkeep.start()
      parts.settlement.settleAll()
      negotiations.resend(instants.now() - RESEND_WINDOW_MS * 1000)
    },
    stop: async () => {
      for (const step of undo.splice(0)) step()
      upkeep.stop()
      scans.stopAll()
      spread.stop()
      context.wakeups.stop()
      await context.tasks.stop()
    },
  }
}

function createContext(deps: MarketDeps, input: MarketOptionsInput): MarketContext {
  const { bus, signer, clock, random, db } = deps
  const logger = deps.logger.child({ module: 'market' })
  const store = createMarketStore(db)
  const tasks = createTasks(logger)
  return {
    bus,
    signer,
    clock,
    random,
    logger,
    store,
    options: marketOptionsSchema.parse(input),
    wakeups: createWakeups(clock),
    funnels: createFunnels(),
    send: createSender(bus, tasks.signal),
    instants: createInstants(clock, random, store.agreements.lastEventUs()),
    tasks,
  }
}

/** Everything that carries offers to other nodes and from them. */
function createSpread(deps: MarketDeps, context: MarketContext, own: OfferBook, known: OfferBook) {
  const { net } = deps
  const { bus, signer, clock, logger, tasks, options, store, instants } = context
  const self = net.nodeId
  const others = (peers: readonly NodeId[]) => peers.filter((peer) => peer !== self)
  const indexPeers = () => [...others(net.peersWith('index')), ...(options.isIndex ? [self] : [])]
  const directPeers = () => others(net.peers().flatMap((peer) => (peer.state === 'connected' ? [peer.nodeId] : [])))
  const addressOf = (peer: NodeId) => (peer === self ? '/public' : `/net/${peer}`)
  const shared = { bus, signer, clock, logger, tasks, indexPeers, addressOf }
  const activeOffers = () =>
    store.subscriptions.active(instants.now(), 'offer').flatMap((subscription) => signedOffer(subscription) ?? [])
  const publisher = createPublisher({ ...shared, activeOffers, nextUs: instants.next }, options)
  const onOffers = (offers: readonly SignedOffer[]) => void known.put(offers, instants.now())
  const finder = createFinder({ ...shared, directPeers, onOffers }, options)
  const direct = createWatchService(
    { bus, clock, logger, ownId: defaultIdOf(signer), tasks },
    {
      service: 'direct',
      book: own,
      watchesMax: DIRECT_WATCHES_MAX,
      watchesPerCallerMax: DIRECT_WATCHES_PER_CALLER_MAX,
      watchTtlMs: DIRECT_WATCH_TTL_MS,
      resultsMax: options.pullLength,
      mayCall: createRateLimit(clock, DIRECT_CALLS_PER_MINUTE_MAX),
    },
  )
  const stop = () => {
    publisher.stop()
    finder.stop()
    direct.stop()
  }
  /** Whom we push to and pull from: more precisely, among whom they are chosen. */
  const peersAsked = () => {
    const peers = indexPeers()
    return peers.length > 0 ? peers : directPeers()
  }
  return { publisher, finder, direct, peersAsked, stop }
}

/** Matches a demand against the known offers, now and as they come. Returns how to stop. */
function followDemand(
  { instants, funnels }: MarketContext,
  known: OfferBook,
  finder: Finder,
  negotiations: NegotiationService,
  demand: Subscription,
): () => void {
  const query = { nodeId: demand.nodeId, kind: 'demand' as const, content: compileContent(demand), shards: undefined }
  const count = (seen: number, dropped: Readonly<Record<string, number>>) => {
    funnels.add(demand.id, 'demand', { step: 'seen', count: seen })
    for (const [why, times] of Object.entries(dropped)) {
      funnels.add(demand.id, 'demand', { step: 'dropped', why, count: times })
    }
  }
  const limit = OFFER_BOOK_LENGTH_MAX
  const found = known.search(query, { limit, salt: demand.id, nowUs: instants.now() })
  count(found.seen, found.dropped)
  negotiations.offersMatched(demand.id, found.offers)
  const unwatch = known.watch(query, (offers, result) => {
    count(result.seen, result.dropped)
    if (offers.length > 0) negotiations.offersMatched(demand.id, offers)
  })
  const { id, nodeId, properties, constraints } = demand
  const onAnswer = (_: number, dropped: Readonly<Record<string, number>>) => {
    // What the index peer passed on is counted when it is matched here.
    const total = Object.values(dropped).reduce((sum, times) => sum + times, 0)
    count(total, dropped)
  }
  finder.add({ id, kind: 'demand', nodeId, properties, constraints, onAnswer })
  return () => {
    unwatch()
    finder.remove(id)
  }
}

/** Binds the negotiation messages. */
function bindAll(context: MarketContext, parts: AgreementParts): (() => void)[] {
  const deps = { bus: context.bus, ownId: defaultIdOf(context.signer) }
  const proposals = createNegotiationHandlers(context)
  const agreements = createAgreementHandlers(parts)
  const undo = [
    bindMessage(deps, 'provider', 'InitialProposalReceived', proposals.initialProposal),
    bindMessage(deps, 'provider', 'AgreementReceived', agreements.received),
    bindMessage(deps, 'provider', 'AgreementCancelled', agreements.cancelled),
    bindMessage(deps, 'provider', 'AgreementCommitted', agreements.committed),
    bindMessage(deps, 'requestor', 'AgreementApproved', agreements.approved),
    bindMessage(deps, 'requestor', 'AgreementRejected', agreements.rejected),
  ]
  for (const role of ['requestor', 'provider'] as const) {
    undo.push(
      bindMessage(deps, role, 'ProposalReceived', (sender, message) => proposals.proposal(role, sender, message)),
      bindMessage(deps, role, 'ProposalRejected', (sender, message) => proposals.rejection(role, sender, message)),
      bindMessage(deps, role, 'AgreementTerminated', (sender, message) => agreements.terminated(role, sender, message)),
      bindMessage(deps, role, 'GetState', (sender, message) => agreements.state(role, sender, message)),
    )
  }
  return undo
}

/** Regular cleaning: of memory often, of the disk now and then. */
function createUpkeep({ clock, store, instants, logger }: MarketContext, sweep: () => void) {
  let cancels: (() => void)[] = []
  const clean = () => {
    const subscriptions = store.subscriptions.removeEndedBefore(instants.now() - SUBSCRIPTION_KEPT_MS * 1000)
    const agreements = store.agreements.removeOverBefore(instants.now() - AGREEMENT_KEPT_MS * 1000)
    if (subscriptions + agreements > 0) logger.debug('removed old rows', { subscriptions, agreements })
  }
  const every = (slot: number, ms: number, task: () => void) => {
    task()
    cancels[slot] = clock.setTimer(ms, () => every(slot, ms, task))
  }
  return {
    start: () => {
      every(0, SWEEP_INTERVAL_MS, sweep)
      every(1, CLEANUP_INTERVAL_MS, clean)
    },
    stop: () => {
      for (const cancel of cancels) cancel()
      cancels = []
    },
  }
}

function knownOffers(known: OfferBook, constraints: string, nowUs: InstantUs): Offer[] {
  const content = compileContent({ properties: '{}', constraints })
  return known
    .after(0)
    .filter((entry) => entry.expiresUs > nowUs && isSuited(content, entry.content, 'scan'))
    .map((entry) => offerDocument(entry.offer))
}

/** A subscription of ours as other nodes see it; undefined for demands, which are never published. */
function signedOffer(subscription: Subscription): SignedOffer | undefined {
  const { id, nodeId, properties, constraints, creationTs, expirationTs, signature } = subscription
  return signature === null ? undefined : { id, nodeId, properties, constraints, creationTs, expirationTs, signature }
}
