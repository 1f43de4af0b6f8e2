/** A network of markets in one process, over a virtual clock, with messages that can be lost. */
import { Body, type BusCall, BusError, createBus } from '@emet/bus'
import { type NodeId, type Role, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import type { Peer, PeerRole } from '@emet/net'
import { createPrivateKey, nodeIdOf, recoverSigner, type Signer, signDigest } from '../identity/index.ts'
import { type Database, openDatabase } from '../store/index.ts'
import { createMarket } from './market.ts'
import { createOfferIndex } from './offer-index.ts'
import type { MarketOptionsInput, OfferIndexOptionsInput } from './options.ts'
import type { Draft, Market } from './types.ts'

/** What happens to a message: it arrives, it is lost, or it arrives and its reply is lost. */
export type Fate = 'arrives' | 'lost' | 'reply-lost'

export type TestNode = {
  readonly nodeId: NodeId
  readonly bus: ReturnType<typeof createBus>
  readonly net: {
    nodeId: NodeId
    peers(): Peer[]
    peersWith(role: PeerRole): NodeId[]
    onPeerChange(l: () => void): () => void
  }
  readonly signer: Signer
  readonly db: Database
  readonly random: ReturnType<typeof createSeededRandom>
}

export type MessageSeen = {
  readonly from: NodeId
  readonly to: NodeId
  readonly address: string
  readonly value: unknown
}

/** A signer with one key. */
export function createTestSigner(seed: number): Signer {
  const key = createPrivateKey(createSeededRandom(seed))
  const id = nodeIdOf(key)
  return {
    defaultId: id,
    ids: () => [id],
    sign: async (_, digest) => signDigest(key, digest),
    recover: recoverSigner,
    privateKey: () => key,
  }
}

/** Nodes that all know each other, joined bus to bus; bodies are encoded and decoded as between processes. */
export function createTestNetwork() {
  const clock = createVirtualClock()
  const buses = new Map<NodeId, ReturnType<typeof createBus>>()
  const indexes = new Set<NodeId>()
  const offline = new Set<NodeId>()
  const listeners = new Set<() => void>()
  const messages: MessageSeen[] = []
  let fateOf: (message: MessageSeen) => Fate | Promise<Fate> = () => 'arrives'
  let seed = 1

  const changed = () => {
    for (const listener of [...listeners]) listener()
  }
  async function* carry(from: NodeId, call: BusCall): AsyncIterable<Body> {
    const [, , to = '', ...rest] = call.address.split('/')
    const bytes = call.body.bytes()
    const seen = { from, to: to as NodeId, address: `/${rest.join('/')}`, value: Body.encoded(bytes).value() }
    messages.push(seen)
    const fate = await fateOf(seen)
    const bus = buses.get(to as NodeId)
    if (!bus || offline.has(to as NodeId) || offline.has(from) || fate === 'lost') {
      throw new BusError('unreachable', `node ${to} cannot be reached`)
    }
    const caller = { kind: 'peer' as const, nodeId: from }
    const replies = bus.send({ ...call, address: `/public/${rest.join('/')}`, caller, body: Body.encoded(bytes) })
    for await (const reply of replies) {
      if (fate === 'reply-lost') throw new BusError('closed', `node ${to} went away`)
      yield Body.encoded(reply.bytes())
    }
  }
  const peerOf = (nodeId: NodeId): Peer => ({
    nodeId,
    state: 'connected',
    roles: indexes.has(nodeId) ? ['index'] : [],
    aliases: [],
    path: 'direct',
    transport: 'memory',
  })
  const addNode = (path = ':memory:'): TestNode => {
    const signer = createTestSigner(seed++)
    const nodeId = signer.defaultId
    const bus = createBus({ clock, logger: silentLogger })
    bus.route('/net', (call) => carry(call.caller.nodeId ?? nodeId, call))
    buses.set(nodeId, bus)
    const others = () => [...buses.keys()].filter((id) => id !== nodeId && !offline.has(id)).map(peerOf)
    const net = {
      nodeId,
      peers: others,
      peersWith: (role: PeerRole) => others().flatMap((peer) => (peer.roles.includes(role) ? [peer.nodeId] : [])),
      onPeerChange: (listener: () => void) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    }
    return { nodeId, bus, net, signer, db: openDatabase({ path }), random: createSeededRandom(seed * 7919) }
  }
  return {
    clock,
    /** Every message between nodes so far. */
    messages,
    addNode,
    /** Decides what becomes of each further message. */
    setFate: (decide: (message: MessageSeen) => Fate | Promise<Fate>) => {
      fateOf = decide
    },
    setOffline: (nodeId: NodeId, isOffline: boolean) => {
      if (isOffline) offline.add(nodeId)
      else offline.delete(nodeId)
      changed()
    },
    createMarketOn: (node: TestNode, options: MarketOptionsInput = {}): Market =>
      createMarket({ ...node, clock, logger: silentLogger }, options),
    addIndex: async (options: OfferIndexOptionsInput = {}) => {
      const node = addNode()
      const index = createOfferIndex({ ...node, clock, logger: silentLogger }, options)
      await index.start()
      indexes.add(node.nodeId)
      changed()
      const gone = async () => {
        indexes.delete(node.nodeId)
        buses.delete(node.nodeId)
        await index.stop()
        changed()
      }
      return { ...node, index, gone }
    },
    /** Lets everything that is under way come to rest, without letting time pass. */
    settle: async (turns = 10) => {
      for (let turn = 0; turn < turns; turn++) await clock.advance(0)
    },
  }
}

export type TestNetwork = ReturnType<typeof createTestNetwork>

/** An offer and a demand that match. */
export const testOffer: Draft = {
  properties: {
    'golem.runtime.name': 'wasm',
    golem: { inf: { 'mem.gib': 4, 'cpu.threads': 2 } },
    'golem.com.pricing.model': 'linear',
  },
  constraints: '(golem.srv.comp.expiration>0)',
}
export const testDemand: Draft = {
  properties: { 'golem.srv.comp.expiration': 1_900_000_000_000 },
  constraints: '(&(golem.runtime.name=wasm)(golem.inf.mem.gib>=1))',
}

/** The subscription kind of a role. */
export const kindOfRole = (role: Role) => (role === 'provider' ? ('offer' as const) : ('demand' as const))
