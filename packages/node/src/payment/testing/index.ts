/** Two nodes that pay each other in memory: everything real but the chain, the network and the clock. For tests. */
import { Body, type Bus, BusError, createBus } from '@emet/bus'
import { type Clock, type NodeId, nodeId, type Random, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock, type VirtualClock } from '@emet/core/testing'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Signer } from '../../identity/types.ts'
import { type Database, openDatabase } from '../../store/index.ts'
import { createMockDriver, createMockLedger, type MockDriver, type MockLedger } from '../drivers/index.ts'
import type { PaymentDriver, PaymentOrder, Settlement } from '../drivers/types.ts'
import type { PaymentOptionsInput } from '../options.ts'
import { createPayment } from '../payment.ts'
import type { AgreementFacts, PaymentDeps, PaymentService } from '../types.ts'

export const PLATFORM = 'mock-local-tglm'
export const GLM = 10n ** 18n
export const AGREEMENT = 'a'.repeat(64)
export const ACTIVITY = 'b'.repeat(32)

/** Thrown by a database whose process has died. */
export class Crash extends Error {}

export type Mortal = Database & { readonly isDead: boolean; readonly commits: number; revive(): Database }

/**
 * A database whose process dies at the `fatalCommit`-th commit (1 is the first): just before it, or just after. What was
 * committed before is kept in `inner`; everything later fails.
 */
export function mortalDatabase(inner: Database, fatalCommit: number, when: 'before' | 'after'): Mortal {
  let commits = 0
  let depth = 0
  let isDead = false
  const alive = () => {
    if (isDead) throw new Crash('the process has died')
  }
  const die = (): never => {
    isDead = true
    throw new Crash('the process dies')
  }
  const commit = <T>(work: () => T): T => {
    alive()
    if (depth > 0) return work()
    commits++
    const isFatal = commits === fatalCommit
    const result = inner.transaction(() => {
      depth++
      try {
        const value = work()
        if (isFatal && when === 'before') die()
        return value
      } finally {
        depth--
      }
    })
    return isFatal ? die() : result
  }
  const read = <T>(work: () => T): T => {
    alive()
    return work()
  }
  return {
    get: (sql, ...parameters) => read(() => inner.get(sql, ...parameters)),
    all: (sql, ...parameters) => read(() => inner.all(sql, ...parameters)),
    run: (sql, ...parameters) => commit(() => inner.run(sql, ...parameters)),
    transaction: (work) => (depth > 0 ? inner.transaction(work) : commit(work)),
    migrate: (module, migrations) => inner.migrate(module, migrations),
    close: () => {},
    revive: () => inner,
    get isDead() {
      return isDead
    },
    get commits() {
      return commits
    },
  }
}

/** A signer with real keys, made of short seeds. */
export function createTestSigner(seeds: readonly number[]): Pick<Signer, 'ids' | 'sign' | 'recover'> {
  const keys = new Map(seeds.map((seed) => [idOf(seed), keyOf(seed)]))
  return {
    ids: () => [...keys.keys()],
    sign: async (id, digest) => {
      const key = keys.get(id)
      if (!key) throw new Error(`no key of ${id}`)
      return secp256k1.sign(digest, key, { prehash: false, format: 'recovered' })
    },
    recover: (digest, signature) => {
      try {
        const key = secp256k1.recoverPublicKey(signature, digest, { prehash: false })
        return addressOf(secp256k1.Point.fromBytes(key).toBytes(false))
      } catch {
        return undefined
      }
    },
  }
}

const keyOf = (seed: number) => new Uint8Array(32).fill(seed)
const addressOf = (publicKey: Uint8Array) => nodeId(`0x${bytesToHex(keccak_256(publicKey.slice(1)).slice(-20))}`)
export const idOf = (seed: number): NodeId => addressOf(secp256k1.getPublicKey(keyOf(seed), false))

/**
 * The mock driver with the memory of a real one: orders lie in the node's database, written in the caller's transaction,
 * and reach the ledger only after its commit.
 */
function durableDriver(mock: MockDriver, db: Database): PaymentDriver {
  db.migrate('test_driver', ['CREATE TABLE test_order (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT'])
  const listeners = new Set<(settlement: Settlement) => void>()
  let undo = () => {}
  const pump = () => {
    try {
      for (const row of db.all('SELECT body FROM test_order')) mock.schedule(parseOrder(String(row['body'])))
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
  }
  return {
    ...mock,
    schedule: (order) => {
      db.run('INSERT OR IGNORE INTO test_order VALUES (?, ?)', order.paymentOrderId, printOrder(order))
      queueMicrotask(pump)
    },
    onSettled: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    start: async () => {
      undo = mock.onSettled((settlement) => {
        if (listeners.size === 0) throw new Error('nobody listens')
        for (const listener of listeners) listener(settlement)
      })
      await mock.start()
      pump()
    },
    stop: async () => {
      undo()
      await mock.stop()
    },
  }
}

const printOrder = (order: PaymentOrder) => JSON.stringify({ ...order, amountWei: `${order.amountWei}` })
const parseOrder = (text: string): PaymentOrder => {
  const order = JSON.parse(text)
  return { ...order, amountWei: BigInt(order.amountWei) }
}

export type TestNode = {
  readonly id: NodeId
  readonly mock: MockDriver
  readonly db: Database
  payment: PaymentService
  bus: Bus
  /** False: nobody reaches it, and it reaches nobody. */
  isOnline: boolean
  /** The process ends (as it is, or by the database's death) and starts anew on what was written down. */
  restart(db?: Database): Promise<void>
}

export type World = {
  readonly clock: VirtualClock
  readonly ledger: MockLedger
  readonly requestor: TestNode
  readonly provider: TestNode
  /** Agreements both sides know, by id. */
  readonly agreements: Map<string, AgreementFacts>
  /** Activities both sides know: activity -> agreement. */
  readonly activities: Map<string, string>
  /** Called for each message before it arrives; may throw. */
  onMessage: (address: string, to: NodeId, body: unknown) => void
  stop(): Promise<void>
}

export type WorldOptions = {
  readonly payment?: PaymentOptionsInput
  readonly db?: (side: 'requestor' | 'provider') => Database
  readonly balance?: bigint
  /** Default: a virtual one. With another, `World.clock` must not be used. */
  readonly clock?: Clock
  /** Called after each construction of a service's dependencies. */
  readonly deps?: (deps: PaymentDeps) => PaymentDeps
}

/** Two started nodes with one approved agreement (and one activity) between them. */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const virtual = createVirtualClock()
  const clock = options.clock ?? virtual
  const random = createSeededRandom(7)
  const ledger = createMockLedger()
  const agreements = new Map<string, AgreementFacts>()
  const activities = new Map([[ACTIVITY, AGREEMENT]])
  const nodes: TestNode[] = []
  const world = { clock: virtual, ledger, agreements, activities, onMessage: () => {} } as unknown as World
  const shared = { clock, random, ledger, agreements, activities, nodes, world, options }
  const requestor = await createNode(shared, 1, 'requestor')
  const provider = await createNode(shared, 2, 'provider')
  agreements.set(AGREEMENT, agreementBetween(requestor.id, provider.id))
  ledger.credit(requestor.id, PLATFORM, options.balance ?? 100n * GLM)
  return Object.assign(world, {
    requestor,
    provider,
    stop: async () => {
      for (const node of nodes) {
        await node.payment.stop()
        node.bus.close()
      }
    },
  })
}

export function agreementBetween(requestorId: NodeId, providerId: NodeId, agreementId = AGREEMENT): AgreementFacts {
  return {
    agreementId,
    requestorId,
    providerId,
    demandProperties: {
      'golem.com.payment.chosen-platform': PLATFORM,
      [`golem.com.payment.platform.${PLATFORM}.address`]: requestorId,
    },
    offerProperties: { [`golem.com.payment.platform.${PLATFORM}.address`]: providerId },
    appSessionId: 'session',
    state: 'Approved',
  }
}

type Shared = {
  readonly clock: Clock
  readonly random: Random
  readonly ledger: MockLedger
  readonly agreements: Map<string, AgreementFacts>
  readonly activities: Map<string, string>
  readonly nodes: TestNode[]
  readonly world: World
  readonly options: WorldOptions
}

async function createNode(shared: Shared, seed: number, side: 'requestor' | 'provider'): Promise<TestNode> {
  const { clock, random, ledger, nodes, options } = shared
  const id = idOf(seed)
  const mock = createMockDriver({ ledger, clock, random, log: silentLogger })
  const db = options.db?.(side) ?? openDatabase({ path: ':memory:' })
  const boot = (database: Database) => {
    const bus = createBus({ clock, logger: silentLogger })
    linkBus(bus, shared, id)
    return { bus, payment: createService(shared, bus, database, mock, seed) }
  }
  const node: TestNode = {
    id,
    mock,
    db,
    isOnline: true,
    ...boot(db),
    restart: async (database = db) => {
      await node.payment.stop()
      node.bus.close()
      Object.assign(node, boot(database))
      await node.payment.start()
    },
  }
  nodes.push(node)
  await node.payment.start().catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error
  })
  return node
}

function createService(shared: Shared, bus: Bus, db: Database, mock: MockDriver, seed: number): PaymentService {
  const { clock, random, agreements, activities, options } = shared
  const deps: PaymentDeps = {
    ...{ bus, db, clock, random },
    signer: createTestSigner([seed]),
    drivers: [durableDriver(mock, db)],
    agreements: {
      get: (agreementId, owner) => {
        const found = agreements.get(agreementId)
        return found && (found.requestorId === owner || found.providerId === owner) ? found : undefined
      },
    },
    activities: { agreementOf: (activityId) => activities.get(activityId) },
    logger: silentLogger,
  }
  return createPayment(options.deps?.(deps) ?? deps, {
    testnetCycleIntervalMs: 0,
    syncNeededPauseMs: 0,
    ...options.payment,
  })
}

/** What `net` does: `/net/<id>/...` becomes `/public/...` there, from a proven caller, through the wire's encoding. */
function linkBus(bus: Bus, { nodes, world }: Shared, from: NodeId): void {
  bus.route('/net', (call) => {
    const [, , to = '', ...rest] = call.address.split('/')
    const target = nodes.find(({ id }) => id === to)
    const source = nodes.find(({ id }) => id === from)
    if (!target?.isOnline || !source?.isOnline) throw new BusError('unreachable', `${to} cannot be reached`)
    const address = `/public/${rest.join('/')}`
    world.onMessage(address, target.id, call.body.value())
    const body = Body.encoded(call.body.bytes())
    return target.bus.send({ ...call, address, body, caller: { kind: 'peer', nodeId: call.caller.nodeId ?? from } })
  })
}
