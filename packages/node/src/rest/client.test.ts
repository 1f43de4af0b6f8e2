/** The client against the server: what goes in at one end comes out at the other, for every route. */
import { type ApiError, createClient, createClientGroup, EventStream, type Route, type RouteHandler } from '@emet/api'
import { allApis, sampleOf } from '@emet/api/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createRestServer } from './server.ts'
import { type Recorded, recordingMounts, TEST_KEY, testDeps, testOptions } from './testing.ts'
import type { RestServer } from './types.ts'

const recorded: Recorded[] = []
let server: RestServer

beforeAll(async () => {
  const mounts = recordingMounts(recorded).map((mount) => {
    const handlers = Object.entries(mount.handlers).map(([name, handler]) => {
      const { events } = mount.api.routes[name] ?? {}
      const streaming = (async (request) => {
        const plain = await handler(request)
        return events && request.wantsEvents ? new EventStream(twice(events), { whenDone: 'close' }) : plain
      }) as RouteHandler<Route>
      return [name, streaming]
    })
    return { ...mount, handlers: Object.fromEntries(handlers) }
  })
  server = createRestServer(testDeps(mounts), testOptions())
  await server.start()
})
afterAll(() => server.stop())
beforeEach(() => void recorded.splice(0))

async function* twice(schema: z.ZodType) {
  yield { event: 'first', data: schema.parse(sampleOf(schema)), id: '0' }
  yield { data: schema.parse(sampleOf(schema)) }
}

const inner = (schema: unknown) => (schema instanceof z.ZodType ? schema.parse(sampleOf(schema)) : undefined)

describe.each(allApis.map((api) => [api.tag, api] as const))('%s', (_, api) => {
  const methods = () => createClientGroup(api, { url: server.url, appKey: TEST_KEY.key }) as Record<string, unknown>
  const routes = Object.entries(api.routes).filter(([, route]) => !route.websocket)

  it.each(routes)('%s carries values both ways', async (name, route) => {
    const params = inner(route.params)
    const query = inner(route.query)
    const body = route.body === 'bytes' ? Uint8Array.of(1, 2) : inner(route.body)
    const given = { params, query, body }
    if (route.success.body !== 'events') {
      const call = methods()[name] as (given: unknown) => Promise<unknown>
      const reply = await call(given).catch((error: ApiError) => error)
      if (route.success.body === 'bytes')
        expect(await new Response(reply as ReadableStream).bytes()).toEqual(Uint8Array.of(1, 2, 3))
      else expect(reply).toEqual(route.success.body === 'text' ? 'text' : inner(route.success.body))
      const [got] = recorded
      expect(got?.request.params).toEqual(params)
      expect(got?.request.query).toEqual(query)
      if (route.body !== 'bytes') expect(got?.request.body).toEqual(body)
    }
    if (route.events) {
      const { stream } = methods()[name] as { stream(given: unknown): AsyncIterable<unknown> }
      const events = []
      for await (const event of stream(given)) events.push(event)
      const data = inner(route.events)
      if (route.success.body !== 'events')
        expect(events).toEqual([
          { event: 'first', id: '0', data },
          { event: undefined, id: undefined, data },
        ])
    }
  })
})

describe('the client', () => {
  const client = () => createClient({ url: server.url, appKey: TEST_KEY.key })

  it('fills in defaults when fields are left out', async () => {
    await client().market.getDemandEvents({ params: { subscriptionId: `${'0'.repeat(32)}-${'1'.repeat(64)}` } })
    expect(recorded[0]?.request.query).toEqual({ timeout: 5, maxEvents: 20 })
  })

  it('sends amounts without loss', async () => {
    const totalAmount = 2n ** 200n + 1n
    await client().payment.createAllocation({ body: { totalAmount } })
    expect(recorded[0]?.request.body).toMatchObject({ totalAmount })
  })

  it('says which field is wrong before it sends anything', async () => {
    const wrong = client().payment.createAllocation({ body: { totalAmount: '5' as never } })
    await expect(wrong).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('body.totalAmount'),
    })
    expect(recorded).toHaveLength(0)
  })

  it('says when nobody answers, and what to do', async () => {
    const call = createClient({ url: 'http://127.0.0.1:1' }).root.getMe()
    await expect(call).rejects.toMatchObject({
      code: 'unreachable',
      call: 'GET /me',
      message: expect.stringMatching(/http:\/\/127\.0\.0\.1:1 does not answer .*is it running\?.*emet node run/),
    })
  })

  it('carries the words of a refusal', async () => {
    const call = createClient({ url: server.url, appKey: 'wrong' }).root.getMe()
    await expect(call).rejects.toMatchObject({ status: 401, body: 'Invalid application key' })
    await expect(call).rejects.toThrow('GET /me failed with 401: Invalid application key')
  })

  it('throws the reason of an aborted signal', async () => {
    const reason = new Error('enough')
    const call = client().root.getMe({ signal: AbortSignal.abort(reason) })
    await expect(call).rejects.toBe(reason)
  })

  it('refuses answers that are not what the contract says', async () => {
    const fetching = (text: string) => async () =>
      new Response(text, { headers: { 'content-type': 'application/json' } })
    for (const text of ['{', '{"identity": 5}', '']) {
      const call = createClient({ url: 'http://x', fetch: fetching(text) }).root.getMe()
      await expect(call).rejects.toMatchObject({ code: 'bad-reply' })
    }
  })
})
