import { EventStream, RestError } from '@emet/api'
import { nodeId } from '@emet/core'
import { describe, expect, it } from 'vitest'
import { ActivityError, type ActivityErrorCode } from './errors.ts'
import { activityRoutes, emetActivityRoutes, toRestError } from './routes.ts'
import type { Activities, ActivityRecord } from './types.ts'

const owner = nodeId(`0x${'a'.repeat(40)}`)
const peer = nodeId(`0x${'b'.repeat(40)}`)
const record: ActivityRecord = {
  activityId: '12',
  role: 'requestor',
  ownerId: owner,
  peerId: peer,
  agreementId: 'ag',
  state: { state: ['Ready', null], reason: 'why' },
  usage: { currentUsage: [1], timestamp: 3 },
  createdUs: 1,
  updatedUs: 2,
  destroyRequestedUs: null,
}
const asked: unknown[] = []
const note = (...what: unknown[]) => void asked.push(what)
const activities: Activities = {
  start: async () => {},
  stop: async () => {},
  list: (...given) => {
    note('list', ...given)
    return [record]
  },
  get: () => record,
  agreementOf: () => record.agreementId,
  state: async () => record.state,
  usage: async () => ({ timestamp: 3 }),
  requestor: {
    create: async (...given) => {
      note('create', ...given)
      return '12'
    },
    destroy: async () => {
      throw new ActivityError('timeout', 'late')
    },
    exec: async () => 'batch',
    results: async (...given) => {
      note('results', ...given)
      return []
    },
    async *events() {
      yield { batch_id: 'b', index: 0, timestamp: 5, kind: { stdout: 'x' } }
      yield { batch_id: 'b', index: 0, timestamp: 6, kind: { stdout: 'y' } }
    },
    runningCommand: async () => [],
  },
  provider: {
    events: async () => [],
    setState: () => {
      throw new ActivityError('illegal-state', 'no')
    },
    async *monitor() {},
  },
}
const routes = activityRoutes(activities)
const { signal } = new AbortController()
const request = {
  caller: { nodeId: owner, keyName: 'k', role: 'manager' as const },
  headers: {},
  wantsEvents: false,
  signal,
  params: { activityId: '12', batchId: 'b' },
  query: { timeout: 2 },
  body: undefined,
}
const statusOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof RestError ? [error.status, error.body] : error
}

describe('the activity API', () => {
  it.each<[ActivityErrorCode, number, string]>([
    ['bad-request', 400, 'Bad request: m'],
    ['illegal-state', 400, 'Bad request: m'],
    ['not-found', 404, 'Not found: m'],
    ['forbidden', 403, 'Forbidden: m'],
    ['timeout', 408, 'Timeout'],
    ['service', 500, 'Service error: m'],
    ['limit', 500, 'Service error: m'],
    ['bus', 500, 'GSB error: m'],
    ['unknown-activity', 500, 'DAO error: m'],
  ])('answers %s with %i', (code, status, message) => {
    expect(toRestError(new ActivityError(code, 'm'))).toMatchObject({ status, body: { message } })
  })
  it('creates: a text gets a text, an object an object', async () => {
    expect(await routes.createActivity({ ...request, params: undefined, body: 'ag' })).toBe('12')
    const body = { agreementId: 'ag', requestorPubKey: 'ff' }
    expect(await routes.createActivity({ ...request, params: undefined, body })).toEqual({ activityId: '12' })
    const wait = { timeoutMs: 2_000, signal }
    expect(asked).toContainEqual(['create', owner, 'ag', null, wait])
    expect(asked).toContainEqual(['create', owner, 'ag', 'ff', wait])
  })
  it('passes on when results are to be waited for', async () => {
    await routes.getExecResults({ ...request, query: { timeout: undefined, commandIndex: undefined } })
    await routes.getExecResults({ ...request, query: { timeout: 0, commandIndex: 3 } })
    expect(asked).toContainEqual(['results', owner, '12', 'b', { waitMs: undefined, commandIndex: undefined, signal }])
    expect(asked).toContainEqual(['results', owner, '12', 'b', { waitMs: 0, commandIndex: 3, signal }])
  })
  it('streams numbered runtime events', async () => {
    const query = { timeout: undefined, commandIndex: undefined }
    const stream = await routes.getExecResults({ ...request, query, wantsEvents: true })
    if (!(stream instanceof EventStream)) throw new Error('no stream')
    const seen: unknown[] = []
    for await (const { event, id } of stream.events) seen.push([event, id])
    expect(seen).toEqual([
      ['runtime', '0'],
      ['runtime', '1'],
    ])
  })
  it('answers 408 when there is no event for the provider agent', async () => {
    const query = { timeout: 0, afterTimestamp: 0, appSessionId: undefined, maxEvents: 5 }
    const answer = await statusOf(routes.getProviderEvents({ ...request, params: undefined, query }))
    expect(answer).toEqual([408, { message: 'Timeout' }])
  })
  it('answers failures with their statuses', async () => {
    expect(await statusOf(routes.destroyActivity(request))).toEqual([408, { message: 'Timeout' }])
    const body = { state: ['New', null] as ['New', null], reason: undefined, errorMessage: undefined }
    expect(await statusOf(routes.setState({ ...request, query: undefined, body }))).toEqual([
      400,
      { message: 'Bad request: no' },
    ])
  })
  it('lists in both roles', async () => {
    const emet = emetActivityRoutes(activities, { get: () => undefined })
    const query = { role: 'Provider' as const, alive: true, agreementId: undefined, maxItems: undefined }
    const listed = await emet.list({ ...request, params: undefined, query })
    expect(listed).toMatchObject([
      { role: 'Requestor', state: ['Ready', null], agreementState: null, currentUsage: [1] },
    ])
    const filter = { role: 'provider', alive: true, agreementId: undefined, maxItems: undefined }
    expect(asked).toContainEqual(['list', owner, filter])
  })
})
