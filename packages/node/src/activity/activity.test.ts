import { Body, type Bus, type BusCall, createBus, ReplyError } from '@emet/bus'
import { type ActivityState, type NodeId, nodeId, silentLogger, type Unregister } from '@emet/core'
import { createSeededRandom, createVirtualClock, type VirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../store/index.ts'
import { type Activities, type ActivityAgreement, ActivityError, createActivity } from './index.ts'

const REQUESTOR = nodeId(`0x${'a'.repeat(40)}`)
const PROVIDER = nodeId(`0x${'b'.repeat(40)}`)
const STRANGER = nodeId(`0x${'c'.repeat(40)}`)
const AGREEMENT = 'd'.repeat(64)
const wait = { timeoutMs: 5_000 }

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

function createDaemon(
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
function connect(from: Bus, to: Bus, toId: NodeId, callerId: NodeId): Unregister {
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

async function setUp() {
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
    return creating.then((id) => {
      expect(id).toBe(activityId)
      return id
    })
  }
  return { clock, requestor, provider, disconnect, report, reportUsage, events, create }
}

const codeOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof ActivityError ? error.code : error
}

describe('creating', () => {
  it('tells the provider agent, and waits until the exe-unit is initialized', async () => {
    const { clock, requestor, events, report, provider } = await setUp()
    let created: string | undefined
    const creating = requestor.activities.requestor.create(REQUESTOR, AGREEMENT, '0aff', wait)
    void creating.then((id) => {
      created = id
    })
    await clock.advance(1_000)
    const [event] = await events()
    expect(event).toMatchObject({ agreementId: AGREEMENT, eventType: { CreateActivity: { requestorPubKey: '0aff' } } })
    expect(created).toBeUndefined()
    expect(provider.activities.list(PROVIDER, {})[0]).toMatchObject({
      state: { state: ['New', null] },
      role: 'provider',
    })
    await report(event!.activityId, ['Initialized', null])
    expect(await creating).toBe(event!.activityId)
    expect(event!.activityId).toMatch(/^[0-9a-f]{32}$/)
    expect(requestor.activities.get(REQUESTOR, event!.activityId)).toMatchObject({
      agreementId: AGREEMENT,
      role: 'requestor',
    })
  })
  it('gives up in time, and has it destroyed since nobody knows its id', async () => {
    const { clock, requestor, events } = await setUp()
    const creating = codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, { timeoutMs: 2_000 }))
    await clock.advance(2_500)
    expect(await creating).toBe('timeout')
    expect((await events()).map((event) => Object.keys(event.eventType)[0])).toEqual([
      'CreateActivity',
      'DestroyActivity',
    ])
  })
  it('fails when the exe-unit ends before', async () => {
    const { clock, requestor, events, provider } = await setUp()
    const creating = codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait))
    await clock.advance(0)
    const [event] = await events()
    const state: ActivityState = { state: ['Terminated', null], reason: 'creation failed' }
    provider.activities.provider.setState(PROVIDER, event!.activityId, state)
    expect(await creating).toBe('service')
  })
  it('is for the requestor of an approved agreement only', async () => {
    const { requestor, provider, disconnect } = await setUp()
    expect(await codeOf(requestor.activities.requestor.create(REQUESTOR, 'nothing', null, wait))).toBe('not-found')
    expect(await codeOf(provider.activities.requestor.create(PROVIDER, AGREEMENT, null, wait))).toBe('forbidden')
    provider.agreements.setState('Pending')
    expect(await codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait))).toBe('bad-request')
    provider.agreements.setState('Approved')
    disconnect()
    connect(requestor.bus, provider.bus, PROVIDER, STRANGER)
    expect(await codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait))).toBe('forbidden')
    expect(provider.activities.list(PROVIDER, {})).toEqual([])
  })
  it.each([
    [{}],
    [{ providerId: PROVIDER }],
    [{ providerId: PROVIDER, agreementId: 5 }],
    [{ providerId: PROVIDER, agreementId: AGREEMENT, timeout: 'soon' }],
    [null],
  ])('refuses the message %j', async (body) => {
    const { provider } = await setUp()
    const caller = { kind: 'peer', nodeId: REQUESTOR } as const
    const failing = provider.bus.call('/public/activity/CreateActivity', body, { caller })
    await expect(failing).rejects.toMatchObject({ data: { badRequest: expect.any(String) } })
  })
  it('says when the provider cannot be reached, in words that clients look for', async () => {
    const { requestor, disconnect } = await setUp()
    disconnect()
    const failing = requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait)
    await expect(failing).rejects.toMatchObject({
      code: 'bus',
      message: expect.stringContaining('endpoint address not found'),
    })
  })
  it('has room for so many activities', async () => {
    const { create, requestor } = await setUp()
    for (let index = 0; index < 16; index++) await create()
    expect(await codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait))).toBe('service')
  })
})

describe('state and usage', () => {
  it('come from the exe-unit through the provider to the requestor', async () => {
    const { create, report, reportUsage, requestor, provider } = await setUp()
    const id = await create()
    await report(id, ['Initialized', 'Deployed'])
    await reportUsage(id, [1, 2.5])
    expect(await requestor.activities.state(REQUESTOR, id, wait)).toEqual({ state: ['Initialized', 'Deployed'] })
    expect(await requestor.activities.usage(REQUESTOR, id, wait)).toEqual({ currentUsage: [1, 2.5], timestamp: 7 })
    expect(await provider.activities.usage(PROVIDER, id, wait)).toEqual({ currentUsage: [1, 2.5], timestamp: 7 })
    expect(requestor.activities.get(REQUESTOR, id).state.state).toEqual(['Initialized', 'Deployed'])
  })
  it('are only for the parties', async () => {
    const { create, provider, requestor } = await setUp()
    const id = await create()
    expect(await codeOf(requestor.activities.state(STRANGER, id, wait))).toBe('forbidden')
    expect(await codeOf(requestor.activities.state(REQUESTOR, 'nothing', wait))).toBe('unknown-activity')
    const caller = { kind: 'peer', nodeId: STRANGER } as const
    for (const message of ['GetActivityState', 'GetActivityUsage']) {
      await expect(
        provider.bus.call(`/public/activity/${message}`, { activityId: id }, { caller }),
      ).rejects.toMatchObject({
        data: { forbidden: expect.any(String) },
      })
    }
  })
  it('never leave the end, and take no report that cannot be', async () => {
    const { create, report, reportUsage, provider } = await setUp()
    const id = await create()
    await expect(report(id, ['New', null])).rejects.toBeInstanceOf(ReplyError)
    await expect(report(id, ['Unresponsive', null])).rejects.toBeInstanceOf(ReplyError)
    await expect(reportUsage(id, [-1])).rejects.toBeInstanceOf(ReplyError)
    await report(id, ['Terminated', null])
    await report(id, ['Terminated', null])
    await expect(report(id, ['Ready', null])).rejects.toBeInstanceOf(ReplyError)
    await expect(reportUsage(id, [1])).rejects.toBeInstanceOf(ReplyError)
    expect(provider.activities.list(PROVIDER, { alive: true })).toEqual([])
  })
})

describe('an exe-unit that stops reporting', () => {
  it('is shown Unresponsive, then to be destroyed, then taken for gone', async () => {
    const { clock, create, provider, requestor, events, reportUsage } = await setUp()
    const id = await create()
    await clock.advance(4_900)
    expect((await requestor.activities.state(REQUESTOR, id, wait)).state[0]).toBe('Initialized')
    await clock.advance(200)
    expect((await requestor.activities.state(REQUESTOR, id, wait)).state[0]).toBe('Unresponsive')
    await reportUsage(id, [1])
    expect((await requestor.activities.state(REQUESTOR, id, wait)).state[0]).toBe('Initialized')
    await clock.advance(9_900)
    expect(await events()).toHaveLength(1)
    await clock.advance(2_000)
    expect((await events()).at(-1)).toMatchObject({ activityId: id, eventType: { DestroyActivity: {} } })
    await clock.advance(120_000)
    expect(await events()).toHaveLength(2)
    expect((await provider.activities.state(PROVIDER, id, wait)).state[0]).toBe('Terminated')
  })
  it('may take a while to attach after the daemon has restarted, without a loss', async () => {
    const { clock, create, provider, report, reportUsage, requestor, disconnect } = await setUp()
    const id = await create()
    await report(id, ['Ready', null])
    await reportUsage(id, [3, 4])
    await provider.activities.stop()
    disconnect()
    const again = createDaemon('provider', clock, provider.db)
    await again.activities.start()
    connect(requestor.bus, again.bus, PROVIDER, REQUESTOR)
    await clock.advance(10_000)
    expect(await requestor.activities.state(REQUESTOR, id, wait)).toEqual({ state: ['Ready', null] })
    expect(await requestor.activities.usage(REQUESTOR, id, wait)).toEqual({ currentUsage: [3, 4], timestamp: 7 })
    await reportUsage(id, [5, 6], again.bus)
    await clock.advance(4_000)
    expect((await requestor.activities.usage(REQUESTOR, id, wait)).currentUsage).toEqual([5, 6])
  })
  it('was never started before a restart: it is to be destroyed', async () => {
    const { clock, provider, requestor } = await setUp()
    const creating = codeOf(requestor.activities.requestor.create(REQUESTOR, AGREEMENT, null, wait))
    await clock.advance(0)
    await provider.activities.stop()
    const again = createDaemon('provider', clock, provider.db)
    await again.activities.start()
    await again.activities.stop()
    await again.activities.start()
    const events = await again.activities.provider.events(PROVIDER, { afterUs: 0, timeoutMs: 0, maxEvents: 9 })
    expect(events.map((event) => Object.keys(event.eventType)[0])).toEqual(['CreateActivity', 'DestroyActivity'])
    await clock.advance(10_000)
    expect(await creating).toBe('timeout')
  })
})

describe('destroying', () => {
  it('waits for the end', async () => {
    const { clock, create, requestor, events, report } = await setUp()
    const id = await create()
    const destroying = requestor.activities.requestor.destroy(REQUESTOR, id, wait)
    await clock.advance(1_000)
    expect((await events()).at(-1)).toMatchObject({ activityId: id, eventType: { DestroyActivity: {} } })
    await report(id, ['Terminated', null])
    await destroying
    expect(requestor.activities.get(REQUESTOR, id).state.state).toEqual(['Terminated', null])
    await requestor.activities.requestor.destroy(REQUESTOR, id, wait)
    expect(await codeOf(requestor.activities.requestor.exec(REQUESTOR, id, '[]', wait))).toBe('bad-request')
  })
  it('gives up in time, and may be tried again', async () => {
    const { clock, create, requestor, events } = await setUp()
    const id = await create()
    for (let attempt = 1; attempt <= 2; attempt++) {
      const destroying = codeOf(requestor.activities.requestor.destroy(REQUESTOR, id, wait))
      await clock.advance(6_500)
      expect(await destroying).toBe('timeout')
    }
    // Told once: the second time came within the pause.
    expect((await events()).filter((event) => 'DestroyActivity' in event.eventType)).toHaveLength(1)
  })
  it('follows from the end of the agreement, on both sides', async () => {
    const { create, requestor, provider, events } = await setUp()
    const id = await create()
    provider.agreements.terminate()
    requestor.agreements.terminate()
    expect((await events()).at(-1)).toMatchObject({ activityId: id, eventType: { DestroyActivity: {} } })
    expect((await requestor.activities.state(REQUESTOR, id, wait)).state[0]).toBe('Terminated')
  })
})

describe('events for the provider agent', () => {
  it('are told apart by their dates, filtered by session, and kept', async () => {
    const { create, events } = await setUp()
    await create()
    await create()
    const all = await events()
    expect(all).toHaveLength(2)
    expect(all[1]!.eventDate).toBeGreaterThan(all[0]!.eventDate)
    expect(await events(all[0]!.eventDate)).toEqual([all[1]])
    expect(await events(0, 0, 'session')).toEqual(all)
    expect(await events(0, 0, 'another')).toEqual([])
  })
  it('are waited for', async () => {
    const { clock, create, events } = await setUp()
    const waiting = events(0, 3_000)
    const none = events(0, 3_000, 'another')
    await create()
    expect(await waiting).toHaveLength(1)
    await clock.advance(3_000)
    expect(await none).toEqual([])
  })
  it('are the own ones', async () => {
    const { create, provider } = await setUp()
    await create()
    expect(await provider.activities.provider.events(STRANGER, { afterUs: 0, timeoutMs: 0, maxEvents: 9 })).toEqual([])
  })
})

describe('batches', () => {
  const setUpExeUnit = async () => {
    const made = await setUp()
    const id = await made.create()
    const calls: unknown[] = []
    const at = (message: string) => `/public/exeunit/${id}/${message}`
    made.provider.bus.bind(at('Exec'), async ({ body, caller }) => {
      calls.push(body.value(), caller)
      return (body.value() as { batchId: string }).batchId
    })
    return { ...made, id, calls, at }
  }
  const run = JSON.stringify([{ deploy: {} }, { run: { entry_point: '/bin/sh', args: ['-c', 'ls'] } }])

  it('are checked here and sent to the exe-unit as the requestor', async () => {
    const { id, calls, requestor } = await setUpExeUnit()
    const batchId = await requestor.activities.requestor.exec(REQUESTOR, id, run, wait)
    expect(batchId).toMatch(/^[0-9a-f]{32}$/)
    expect(calls).toEqual([
      { activityId: id, batchId, exeScript: JSON.parse(run), timeout: 5 },
      { kind: 'peer', nodeId: REQUESTOR },
    ])
    for (const bad of ['', '{}', '[{"fly":{}}]', '[{"run":{}}]']) {
      expect(await codeOf(requestor.activities.requestor.exec(REQUESTOR, id, bad, wait))).toBe('bad-request')
    }
    expect(await codeOf(requestor.activities.requestor.exec(STRANGER, id, run, wait))).toBe('forbidden')
    expect(calls).toHaveLength(2)
  })
  it('have results, text or bytes', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    let asked: unknown
    const result = { index: 0, result: 'Ok', message: null, isBatchFinished: true, eventDate: '2026-11-23T01:02:03Z' }
    provider.bus.bind(at('GetExecBatchResults'), async ({ body }) => {
      asked = body.value()
      return [{ ...result, stdout: new Uint8Array([1, 2]), stderr: 'text' }]
    })
    const results = await requestor.activities.requestor.results(REQUESTOR, id, 'batch', {
      waitMs: 1_500,
      commandIndex: 0,
    })
    expect(asked).toEqual({ activityId: id, batchId: 'batch', timeout: 1.5, commandIndex: 0 })
    expect(results[0]).toMatchObject({
      index: 0,
      stdout: new Uint8Array([1, 2]),
      stderr: 'text',
      isBatchFinished: true,
    })
  })
  it.each([
    ['timeout', 'timeout'],
    [{ notFound: 'no such batch' }, 'not-found'],
    [{ badRequest: 'no' }, 'bad-request'],
    [{ usageLimitExceeded: 'no' }, 'service'],
    [{ service: 'no' }, 'service'],
  ])('fail with %j as %s', async (data, code) => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('GetExecBatchResults'), async () => {
      throw new ReplyError(data)
    })
    expect(await codeOf(requestor.activities.requestor.results(REQUESTOR, id, 'batch', {}))).toBe(code)
  })

  const event = (index: number) => ({
    batch_id: 'b',
    index: 0,
    timestamp: `2026-11-23T01:02:03.${String(index).padStart(6, '0')}`,
    kind: { stdout: `line ${index}` },
  })
  const lines = async (events: AsyncIterable<{ kind: object }>, max: number) => {
    const seen: unknown[] = []
    for await (const { kind } of events) {
      seen.push((kind as { stdout: string }).stdout)
      if (seen.length === max) break
    }
    return seen
  }
  it('stream their events, and take up a replayed stream where it broke', async () => {
    const { clock, id, at, provider, requestor } = await setUpExeUnit()
    let opened = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* ({ body }) {
      expect(body.value()).toEqual({ activity_id: id, batch_id: 'b' })
      opened++
      for (let index = 0; index < 6; index++) {
        // The first time, the connection breaks after three.
        if (opened === 1 && index === 3) throw new Error('gone')
        yield event(index)
      }
    })
    const reading = lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9)
    await clock.advance(2_000)
    // A failure inside the exe-unit arrives as a bus failure: the way was broken.
    expect(await reading).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'line 5'])
    expect(opened).toBe(2)
  })
  it('go on with what is new when the exe-unit does not replay', async () => {
    const { clock, id, at, provider, requestor } = await setUpExeUnit()
    let next = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* () {
      for (let count = 0; count < 2 && next < 6; count++) yield event(next++)
      if (next < 6) throw new Error('gone')
    })
    const reading = lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9)
    await clock.advance(5_000)
    expect(await reading).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'line 5'])
  })
  it('give up a stream that breaks again and again, and one whose activity has ended', async () => {
    const { clock, id, at, provider, requestor, report } = await setUpExeUnit()
    let opened = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* () {
      opened++
      yield event(0)
      throw new Error('gone')
    })
    const broken = codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9))
    await clock.advance(30_000)
    expect(await broken).toBe('bus')
    expect(opened).toBe(11)
    await report(id, ['Terminated', null])
    await requestor.activities.requestor.destroy(REQUESTOR, id, wait)
    expect(await codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9))).toBe('bus')
    expect(opened).toBe(12)
  })
  it('end with the failure that the exe-unit means', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('StreamExecBatchResults'), () => {
      throw new ReplyError({ notFound: 'no such batch' })
    })
    expect(await codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 1))).toBe('not-found')
  })
  it('show the running command', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('GetRunningCommand'), async () => [{ command: 'Run', progress: null, params: ['ls'] }])
    const running = await requestor.activities.requestor.runningCommand(REQUESTOR, id, wait)
    expect(running).toMatchObject([{ command: 'Run', params: ['ls'] }])
  })
})

describe('the monitor', () => {
  it('shows activities at once and after each change', async () => {
    const { create, provider, report, reportUsage, clock } = await setUp()
    const abort = new AbortController()
    const frames = provider.activities.provider.monitor(PROVIDER, { signal: abort.signal })[Symbol.asyncIterator]()
    expect((await frames.next()).value.activities).toEqual([])
    const second = frames.next()
    const id = await create()
    await second
    await reportUsage(id, [1, 2])
    expect((await frames.next()).value.activities).toEqual([
      { id, agreementId: AGREEMENT, state: 'Initialized', exeUnit: 'wasmtime', usage: { sec: 1, cpu: 2 } },
    ])
    const third = frames.next()
    await report(id, ['Terminated', null])
    await clock.advance(0)
    expect((await third).value.activities).toEqual([])
    const last = frames.next()
    abort.abort(new Error('enough'))
    await expect(last).rejects.toThrow('enough')
  })
})

describe('a stopped module', () => {
  it('leaves no timer and no address behind, and can start again', async () => {
    const { clock, provider, requestor } = await setUp()
    await provider.activities.stop()
    await requestor.activities.stop()
    expect(clock.pendingTimers).toBe(0)
    await provider.activities.start()
    await provider.activities.stop()
  })
})
