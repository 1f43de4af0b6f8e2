/** A requestor's and a provider's daemon over a virtual clock, for the tests of activities. */
import { Body, type Bus, type BusCall, createBus } from '@emet/bus'
import { type ActivityState, type NodeId, nodeId, silentLogger, type Unregister } from '@emet/core'
import { createSeededRandom, createVirtualClock, type VirtualClock } from '@emet/core/testing'
import { type Database, openDatabase } from '../store/index.ts'
import { type Activities, type ActivityAgreement, ActivityError, createActivity } from './index.ts'

/** The requestor's identity. */
export const REQUESTOR = nodeId(`0x${'a'.repeat(40)}`)
/** The provider's identity. */
export const PROVIDER = nodeId(`0x${'b'.repeat(40)}`)
/** Nobody's partner. */
export const STRANGER = nodeId(`0x${'c'.repeat(40)}`)
/** The one agreement of the test market. */
export const AGREEMENT = 'd'.repeat(64)
/** What most calls wait. */
export const wait = { timeoutMs: 5_000 }

/** A market that knows one agreement. */
function createAgreements(role: 'requestor' | 'provider') {
  const owner = role === 'provider' ? PROVIDER : REQUESTOR
  const listeners = new Set<(agreement: ActivityAgreement) => void>()
  let agreement: ActivityAgreement = {
    agreementId: AGREEMENT,
    role,
    providerId: PROVIDER,
    requestorId: REQUESTOR,
    state: 'Approved',
    appSessionId: 'session',
    offer: { properties: { 'golem.runtime.name': 'wasmtime', 'golem.com.usage.vector': ['sec', 'cpu'] } },
  }
  return {
    get: (id: string, node: NodeId) => (id === AGREEMENT && node === owner ? agreement : undefined),
    onTerminated: (listener: (agreement: ActivityAgreement) => void): Unregister => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    terminate: () => {
      agreement = { ...agreement, state: 'Terminated' }
      for (const listener of listeners) listener(agreement)
    },
    setState: (state: ActivityAgreement['state']) => {
      agreement = { ...agreement, state }
    },
  }
}

type Daemon = {
  bus: Bus
  db: Database
  agreements: ReturnType<typeof createAgreements>
  activities: Activities
}

/** One side's daemon: a bus, a database and the module. */
export function createDaemon(
  role: 'requestor' | 'provider',
  clock: VirtualClock,
  db = openDatabase({ path: ':memory:' }),
): Daemon {
  const bus = createBus({ clock, logger: silentLogger })
  const agreements = createAgreements(role)
  const random = createSeededRandom(role === 'provider' ? 1 : 2)
  const activities = createActivity({ bus, db, agreements, clock, random, logger: silentLogger })
  return { bus, db, agreements, activities }
}

/** Carries calls from one daemon's bus to another's, encoded, as the network does. */
export function connect(from: Bus, to: Bus, toId: NodeId, callerId: NodeId): Unregister {
  const carry = (prefix: string) =>
    from.route(prefix, async function* (call: BusCall) {
      const address = `/public${call.address.slice(prefix.length)}`
      const caller = { kind: 'peer', nodeId: callerId } as const
      const replies = to.send({ ...call, address, caller, body: Body.encoded(call.body.bytes()) })
      for await (const reply of replies) yield Body.encoded(reply.bytes())
    })
  const undo = [carry(`/net/${toId}`), carry(`/transfer/net/${toId}`)]
  return () => {
    for (const step of undo) step()
  }
}

/** A requestor's and a provider's daemon, connected, with the parts of agent and exe-unit to be played by the test. */
export async function setUp() {
  const clock = createVirtualClock()
  const requestor = createDaemon('requestor', clock)
  const provider = createDaemon('provider', clock)
  await requestor.activities.start()
  await provider.activities.start()
  const disconnect = connect(requestor.bus, provider.bus, PROVIDER, REQUESTOR)
  const report = (activityId: string, state: ActivityState['state'], bus = provider.bus) =>
    bus.call('/local/activity/SetActivityState', { activityId, state: { state }, timeout: null, credentials: null })
  const reportUsage = (activityId: string, currentUsage: number[], bus = provider.bus) =>
    bus.call('/local/activity/SetActivityUsage', { activityId, usage: { currentUsage, timestamp: 7 }, timeout: null })
  const events = (afterUs = 0, timeoutMs = 0, appSessionId?: string) =>
    provider.activities.provider.events(PROVIDER, { afterUs, timeoutMs, maxEvents: 100, appSessionId })
  /** Plays the provider agent: starts an exe-unit that reports Initialized. */
  const create = async (): Promise<string> => {
    const creating = requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait)
    await clock.advance(0)
    const activityId = (await events()).at(-1)!.activityId
    await report(activityId, ['Initialized', null])
    return creating
  }
  return { clock, requestor, provider, disconnect, report, reportUsage, events, create }
}

/** The code of the `ActivityError` that `work` fails with, or what else happened. */
export const codeOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof ActivityError ? error.code : error
}
