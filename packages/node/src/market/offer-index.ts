import { type Bus, type BusCall, BusError } from '@emet/bus'
import { type Clock, type InstantUs, type Logger, messageOf, type NodeId, type Service } from '@emet/core'
import type { Signer } from '../identity/index.ts'
import { createTasks } from './context.ts'
import { heartbeatSchema, indexAddress, type PutReply, putSchema, withdrawSchema } from './index-protocol.ts'
import { createOfferBook } from './offer-book.ts'
import { type OfferIndexOptionsInput, offerIndexOptionsSchema } from './options.ts'
import { senderOf } from './protocol.ts'
import { createRateLimit } from './rate-limit.ts'
import { CLOCK_SKEW_MS_MAX, digestOf, fromHex, verifyOffer } from './signed-offer.ts'
import type { SignedOffer } from './types.ts'
import { createWatchService, parse } from './watch-service.ts'

export type OfferIndexDeps = {
  readonly bus: Bus
  readonly signer: Pick<Signer, 'defaultId' | 'recover'>
  readonly clock: Clock
  readonly logger: Logger
}

/** How often silent providers, expired offers and standing demands that were not renewed are looked for. */
export const INDEX_SWEEP_MS = 30_000

/**
 * The index peer's side of dissemination: keeps the offers that providers hand over, in memory, and answers demands.
 * Providers are believed only about themselves, and only with a signature; all of it is bounded.
 */
export interface OfferIndex extends Service {
  readonly offers: number
  readonly standingDemands: number
}

export function createOfferIndex(deps: OfferIndexDeps, input: OfferIndexOptionsInput = {}): OfferIndex {
  const { bus, signer, clock, logger } = deps
  const options = offerIndexOptionsSchema.parse(input)
  const book = createOfferBook(options)
  const tasks = createTasks(logger)
  const mayCall = createRateLimit(clock, options.callsPerMinuteMax)
  const ownId = () => signer.defaultId
  const watching = createWatchService(
    { bus, clock, logger, ownId, tasks },
    { ...options, service: 'index', book, mayCall },
  )
  /** Of each provider with offers here: when it was last heard, and the time it signed last. */
  const heard = new Map<NodeId, { atMs: number; signedUs: InstantUs }>()
  let undo: (() => void)[] = []

  const admit = (call: BusCall): NodeId => {
    const caller = senderOf(call, ownId())
    if (mayCall(caller)) return caller
    throw new BusError('overloaded', `node ${caller} calls too often; slow down`, { caller })
  }
  const hear = (provider: NodeId, signedUs?: InstantUs) => {
    if (book.idsOf(provider).length === 0) return void heard.delete(provider)
    heard.set(provider, { atMs: clock.monotonicMs(), signedUs: signedUs ?? heard.get(provider)?.signedUs ?? 0 })
  }
  const keep = (caller: NodeId, offer: SignedOffer): string | undefined => {
    // Whoever could hand over others' offers could bring back withdrawn ones.
    if (offer.nodeId !== caller) return `it is of ${offer.nodeId}, but came from ${caller}`
    try {
      verifyOffer(signer, offer, clock.nowMs())
    } catch (error) {
      return messageOf(error)
    }
    return book.put([offer], clock.nowMs() * 1000)[0]
  }
  const onPut = async (call: BusCall): Promise<PutReply> => {
    const caller = admit(call)
    const results = parse(putSchema, call).offers.map((offer) => {
      const why = keep(caller, offer)
      return why === undefined
        ? { id: offer.id, status: 'kept' as const }
        : { id: offer.id, status: 'refused' as const, why }
    })
    hear(caller)
    return { results }
  }
  /** A signed message of a provider about itself, newer than any before. */
  const checkSigned = (
    caller: NodeId,
    message: { nodeId: NodeId; atUs: number; signature: string },
    digest: Uint8Array,
  ) => {
    const fail = (why: string) => new BusError('bad-request', `the message of ${message.nodeId} ${why}`)
    if (message.nodeId !== caller) throw fail('came from another node')
    if (signer.recover(digest, fromHex(message.signature)) !== message.nodeId)
      throw fail('has a signature that is not its own')
    if (message.atUs > (clock.nowMs() + CLOCK_SKEW_MS_MAX) * 1000) throw fail('was signed in the future')
    if (message.atUs <= (heard.get(message.nodeId)?.signedUs ?? 0)) throw fail('is a repetition')
  }
  const onWithdraw = async (call: BusCall) => {
    const caller = admit(call)
    const message = parse(withdrawSchema, call)
    checkSigned(caller, message, withdrawalDigest(message))
    for (const id of message.offerIds) if (book.get(id)?.offer.nodeId === message.nodeId) book.remove(id)
    hear(message.nodeId, message.atUs)
    return null
  }
  const onHeartbeat = async (call: BusCall) => {
    const caller = admit(call)
    const message = parse(heartbeatSchema, call)
    checkSigned(caller, message, heartbeatDigest(message))
    const isKnown = offersDigest(book.idsOf(message.nodeId)) === message.offersDigest
    hear(message.nodeId, message.atUs)
    return { isKnown }
  }
  const sweep = () => {
    book.expire(clock.nowMs() * 1000)
    watching.expire()
    for (const [provider, { atMs }] of [...heard]) {
      const isSilent = clock.monotonicMs() - atMs > options.heartbeatTimeoutMs
      if (isSilent) book.removeOf(provider)
      if (book.idsOf(provider).length === 0) heard.delete(provider)
    }
    undo[0] = clock.setTimer(INDEX_SWEEP_MS, sweep)
  }
  return {
    start: async () => {
      undo = [clock.setTimer(INDEX_SWEEP_MS, sweep), watching.bind()]
      undo.push(bus.bind(`/public${indexAddress('index', 'Put')}`, onPut))
      undo.push(bus.bind(`/public${indexAddress('index', 'Withdraw')}`, onWithdraw))
      undo.push(bus.bind(`/public${indexAddress('index', 'Heartbeat')}`, onHeartbeat))
    },
    stop: async () => {
      for (const step of undo.splice(0)) step()
      watching.stop()
      await tasks.stop()
    },
    get offers() {
      return book.size
    },
    get standingDemands() {
      return watching.size
    },
  }
}

/** What a provider signs in a heartbeat. */
export function heartbeatDigest(message: { nodeId: NodeId; atUs: number; offersDigest: string }): Uint8Array {
  return digestOf(['emet/heartbeat/1', message.nodeId, message.atUs, message.offersDigest])
}

/** What a provider signs when it withdraws offers. */
export function withdrawalDigest(message: { nodeId: NodeId; atUs: number; offerIds: readonly string[] }): Uint8Array {
  return digestOf(['emet/withdraw/1', message.nodeId, message.atUs, ...message.offerIds])
}

/** The digest of a set of offer ids: 64 hex digits. */
export function offersDigest(ids: readonly string[]): string {
  return Buffer.from(digestOf([...ids].sort())).toString('hex')
}
