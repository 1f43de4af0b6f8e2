import { ReplyError } from '@emet/bus'
import { type ActivityState, fromMs, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { openDatabase } from '../store/index.ts'
import { createActivity } from './index.ts'
import { createActivityStore } from './store.ts'
import { AGREEMENT, codeOf, connect, createDaemon, PROVIDER, REQUESTOR, STRANGER, setUp, wait } from './testing.ts'

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
  it('is waited for after a restart by those who ask it something, and by nobody else', async () => {
    const { clock, create, provider, report, reportUsage, requestor, disconnect } = await setUp()
    const id = await create()
    await report(id, ['Ready', null])
    await provider.activities.stop()
    disconnect()
    const again = createDaemon('provider', clock, provider.db)
    await again.activities.start()
    const reconnect = connect(requestor.bus, again.bus, PROVIDER, REQUESTOR)
    const exec = () => requestor.activities.requestor.exec(REQUESTOR, id, '[{"start":{}}]', { timeoutMs: 30_000 })
    const asked = exec()
    await clock.advance(5_000)
    const unbind = again.bus.bind(`/public/exeunit/${id}/Exec`, async () => 'taken')
    await reportUsage(id, [1, 2], again.bus)
    expect(await asked).toMatch(/^[0-9a-f]{32}$/)
    unbind()
    expect(await codeOf(exec())).toBe('bus')
    reconnect()
    connect(requestor.bus, again.bus, PROVIDER, STRANGER)
    await again.activities.stop()
    await again.activities.start()
    expect(await codeOf(exec())).toBe('bus')
  })
  it('is not waited for for ever', async () => {
    const { clock, create, provider, requestor, disconnect } = await setUp()
    const id = await create()
    await provider.activities.stop()
    disconnect()
    const again = createDaemon('provider', clock, provider.db)
    await again.activities.start()
    connect(requestor.bus, again.bus, PROVIDER, REQUESTOR)
    const asked = codeOf(requestor.activities.requestor.exec(REQUESTOR, id, '[{"start":{}}]', { timeoutMs: 60_000 }))
    await clock.advance(15_000)
    expect(await asked).toBe('bus')
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

describe('what is old', () => {
  it('goes while the daemon runs, not only at its start', async () => {
    const clock = createVirtualClock()
    const db = openDatabase({ path: ':memory:' })
    const store = createActivityStore(db)
    const { bus, agreements } = createDaemon('provider', clock, db)
    const activities = createActivity(
      { bus, db, agreements, clock, random: createSeededRandom(1), logger: silentLogger },
      { retentionMs: 10_000, cleanUpIntervalMs: 5_000, checkIntervalMs: 60_000 },
    )
    await activities.start()
    const nowUs = fromMs(clock.nowMs())
    const record = { role: 'requestor', ownerId: REQUESTOR, peerId: PROVIDER, agreementId: AGREEMENT } as const
    store.insert({ ...record, activityId: 'ended', state: { state: ['Terminated', null] } }, nowUs)
    store.insert({ ...record, activityId: 'alive', state: { state: ['Ready', null] } }, nowUs)
    const known = () => activities.list(REQUESTOR, {}).map(({ activityId }) => activityId)
    await clock.advance(9_000)
    expect(known().sort()).toEqual(['alive', 'ended'])
    await clock.advance(7_000)
    expect(known()).toEqual(['alive'])
    await activities.stop()
    expect(clock.pendingTimers).toBe(0)
  })
})
