/** Every route of the contract, against every way a request can be wrong. The cases come from the declarations. */
import type { Api, Route } from '@emet/api'
import { allApis, sampleOf, wrongFor } from '@emet/api/testing'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createCalls } from './calls.ts'
import { JSON_BODY_BYTES_MAX } from './options.ts'
import { buildApp } from './server.ts'
import { type Recorded, recordingMounts, TEST_AGENT_KEY, TEST_KEY, testDeps, testOptions } from './testing.ts'

const OPEN = ['/metrics-api', '/version/get']
const recorded: Recorded[] = []
let app: FastifyInstance

beforeAll(async () => {
  app = await buildApp(testDeps(recordingMounts(recorded)), testOptions(), createCalls())
})
afterAll(() => app.close())
beforeEach(() => void recorded.splice(0))

type Case = { readonly api: Api; readonly name: string; readonly route: Route }
const cases: Case[] = allApis.flatMap((api) =>
  Object.entries(api.routes).map(([name, route]) => ({ api, name, route })),
)
const titled = (some: readonly Case[]) =>
  some.map((entry) => [`${entry.route.method} ${entry.api.base}${entry.route.path}`, entry] as const)
const http = cases.filter(({ route }) => !route.websocket)
const withBody = http.filter(({ route }) => route.body instanceof z.ZodType)
const withQuery = http.filter(({ route }) => route.query)
const withParams = http.filter(({ route }) => route.params)

type Change = { params?: object; query?: object; body?: unknown; headers?: Record<string, string> }

/** A request that is right in all, but for `change`. */
function requestFor({ api, route }: Case, change: Change = {}): InjectOptions {
  const params = (change.params ?? sampleOf(route.params ?? z.object({}))) as Record<string, string>
  const query = (change.query ?? sampleOf(route.query ?? z.object({}))) as Record<string, string>
  const path = route.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams(query).toString()
  const hasBody = route.body !== undefined
  const body = 'body' in change ? change.body : route.body instanceof z.ZodType ? sampleOf(route.body) : 'bytes'
  return {
    method: route.method,
    url: `${api.base}${path}${search && `?${search}`}`,
    headers: {
      authorization: `Bearer ${TEST_KEY.key}`,
      ...(hasBody ? { 'content-type': 'application/json' } : {}),
      ...change.headers,
    },
    ...(hasBody ? { payload: route.body === 'bytes' ? 'bytes' : JSON.stringify(body) } : {}),
  }
}

const isOpen = ({ api, route }: Case) => OPEN.some((prefix) => `${api.base}${route.path}`.startsWith(prefix))

/** Expects a 400 in the form that the API documents, with `word` in its message. */
function expectMalformed(answer: { statusCode: number; headers: object; body: string }, form: string, word: string) {
  expect(answer.statusCode).toBe(400)
  const type = (answer.headers as Record<string, string>)['content-type']
  expect(type).toBe(form === 'json' ? 'application/json' : 'text/plain; charset=utf-8')
  const message = form === 'text' ? answer.body : (JSON.parse(answer.body) as { message: string }).message
  expect(message).toContain(word)
}

describe.each(titled(http))('%s', (_, entry) => {
  const { route } = entry

  it('answers a right request as declared', async () => {
    const answer = await app.inject(requestFor(entry))
    expect(answer.statusCode).toBe(route.success.status)
    const { body } = route.success
    const type = answer.headers['content-type']
    if (body instanceof z.ZodType) {
      expect(type).toBe('application/json')
      expect(body.safeParse(answer.json()).success).toBe(true)
    } else if (body === 'empty') expect([type, answer.body]).toEqual([undefined, ''])
    expect(recorded).toHaveLength(1)
    expect(recorded[0]?.request.caller?.nodeId).toBe(isOpen(entry) ? undefined : TEST_KEY.nodeId)
  })

  it('wants a key, unless it is open', async () => {
    for (const [authorization, message] of [
      ['', 'Missing application key'],
      ['Basic abc', 'Missing application key'],
      ['Bearer wrong', 'Invalid application key'],
    ] as const) {
      const answer = await app.inject(requestFor(entry, { headers: { authorization } }))
      if (isOpen(entry)) expect(answer.statusCode).toBe(route.success.status)
      else {
        expect([answer.statusCode, answer.body]).toEqual([401, message])
        expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
      }
    }
    expect(recorded).toHaveLength(isOpen(entry) ? 3 : 0)
  })

  it('wants the role that it declares', async () => {
    const authorization = `Bearer ${TEST_AGENT_KEY.key}`
    const answer = await app.inject(requestFor(entry, { headers: { authorization } }))
    const given = route.body instanceof z.ZodType ? (sampleOf(route.body) as object) : {}
    const isForManagers = route.access === 'manager' || route.managerFields?.some((name) => name in given)
    if (!isForManagers) return expect(answer.statusCode).toBe(route.success.status)
    expect(answer.statusCode).toBe(403)
    expect(answer.json().message).toMatch(/needs an app key with the role manager, and "agent" has the role agent/)
    expect(recorded).toHaveLength(0)
  })

  it('takes the key from the query', async () => {
    const request = requestFor(entry, { headers: { authorization: '' } })
    const url = `${request.url}${String(request.url).includes('?') ? '&' : '?'}authToken=${TEST_KEY.key}`
    const answer = await app.inject({ ...request, url })
    expect(answer.statusCode).toBe(route.success.status)
  })

  it('answers 404 and nothing to another method or a longer path', async () => {
    const request = requestFor(entry)
    const longer = await app.inject({ ...request, url: String(request.url).replace(/(\?|$)/, '/x/y/z$1') })
    expect([longer.statusCode, longer.body]).toEqual([404, ''])
    const [path = ''] = String(request.url).split('?')
    const taken = cases.filter((other) => matches(other, path)).map((other) => other.route.method)
    for (const method of (['GET', 'POST', 'PUT', 'DELETE'] as const).filter((one) => !taken.includes(one))) {
      const answer = await app.inject({ method, url: request.url, headers: request.headers } as InjectOptions)
      expect([method, answer.statusCode, answer.body]).toEqual([method, 404, ''])
    }
    expect(recorded).toHaveLength(0)
  })

  it('drops query parameters and fields that it does not know', async () => {
    const query = { ...(sampleOf(route.query ?? z.object({})) as object), unknownParameter: 'x' }
    const body = route.body instanceof z.ZodType ? sampleOf(route.body) : undefined
    const isObject = typeof body === 'object' && body !== null && !Array.isArray(body)
    const answer = await app.inject(
      requestFor(entry, { query, ...(isObject ? { body: { ...body, unknownField: { a: [1] } } } : {}) }),
    )
    expect(answer.statusCode).toBe(route.success.status)
    expect(recorded[0]?.request.query ?? {}).not.toHaveProperty('unknownParameter')
  })
})

function matches({ api, route }: Case, path: string): boolean {
  return new RegExp(`^${`${api.base}${route.path}`.replace(/:\w+/g, '[^/]+')}$`).test(path)
}

describe('an app key of an agent', () => {
  const authorization = `Bearer ${TEST_AGENT_KEY.key}`
  const reach = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object) => {
    const payload = body === undefined ? {} : { payload: JSON.stringify(body) }
    const headers = { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    return (await app.inject({ method, url: `/emet/v1${path}`, headers, ...payload })).statusCode
  }

  it.each([
    ['GET', '/identities'],
    ['GET', `/identities/${TEST_KEY.nodeId}/keystore`],
    ['DELETE', `/identities/${TEST_KEY.nodeId}`],
    ['GET', '/app-keys'],
    ['DELETE', '/app-keys/test'],
    ['GET', '/config'],
    ['POST', '/shutdown'],
    ['DELETE', `/net/peers/${TEST_KEY.nodeId}`],
  ] as const)('is refused at %s %s', async (method, path) => expect(await reach(method, path)).toBe(403))

  it('cannot make itself a manager, even with a body that is wrong', async () => {
    expect(await reach('POST', '/app-keys', { name: 'more', role: 'manager' })).toBe(403)
    expect(await reach('POST', '/identities', { alias: 5 })).toBe(403)
  })

  it.each([
    ['GET', '/status'],
    ['GET', '/net/status'],
    ['GET', '/net/peers'],
    ['GET', '/payment/status'],
    ['GET', '/activities'],
    ['GET', '/files'],
  ] as const)('is served at %s %s', async (method, path) => expect(await reach(method, path)).toBe(200))

  it('moves bytes, but reaches no path on the disk of the node', async () => {
    expect(await reach('POST', '/files/receive', {})).toBe(200)
    expect(await reach('POST', '/files/receive', { path: '/etc/passwd' })).toBe(403)
    expect(await reach('POST', '/files/publish', { path: '/etc/passwd' })).toBe(403)
  })
})

describe.each(titled(withBody))('the body of %s', (_, entry) => {
  const { api, route } = entry
  const schema = route.body as z.ZodType
  const form = api.malformed.body

  it.each([
    ['not JSON', '{"a": '],
    ['nothing', ''],
    ['bytes that are no text', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['too deep', '['.repeat(100_000)],
  ])('is refused when it is %s', async (_kind, payload) => {
    const answer = await app.inject({ ...requestFor(entry), payload })
    expectMalformed(answer, form, 'body')
    expect(recorded).toHaveLength(0)
  })

  it('is refused without the content type of JSON', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'json', '', undefined]) {
      const answer = await app.inject(requestFor(entry, { headers: { 'content-type': type as string } }))
      expectMalformed(answer, form, 'Content type error')
    }
    expect(recorded).toHaveLength(0)
  })

  it('is refused when it is too large', async () => {
    const payload = JSON.stringify('x'.repeat(JSON_BODY_BYTES_MAX))
    const answer = await app.inject({ ...requestFor(entry), payload })
    expect(answer.statusCode).toBe(413)
    expect(recorded).toHaveLength(0)
  })

  it('is refused when it is of another kind', async () => {
    const wrong = wrongFor(schema, [5, [[]], { wrong: [] }, true])
    const answer = await app.inject(requestFor(entry, { body: wrong }))
    expectMalformed(answer, form, '')
    expect(recorded).toHaveLength(0)
  })

  const fields = schema instanceof z.ZodObject ? Object.entries(schema.shape) : []
  it.each(fields)('is refused when %s is of the wrong type, or missing', async (name, field) => {
    const right = sampleOf(schema) as Record<string, unknown>
    const wrong = wrongFor(field)
    if (wrong !== undefined)
      expectMalformed(await app.inject(requestFor(entry, { body: { ...right, [name]: wrong } })), form, name)
    const { [name]: _, ...rest } = right
    const isRequired = !(field as z.ZodType).safeParse(undefined).success
    recorded.splice(0)
    const answer = await app.inject(requestFor(entry, { body: rest }))
    if (isRequired) expectMalformed(answer, form, name)
    else {
      expect(answer.statusCode).toBe(route.success.status)
      const withNull = await app.inject(requestFor(entry, { body: { ...rest, [name]: null } }))
      expect(withNull.statusCode).toBe(route.success.status)
    }
    expect(recorded).toHaveLength(isRequired ? 0 : 2)
  })
})

describe.each(titled(withQuery))('the query of %s', (_, entry) => {
  const { api, route } = entry
  it.each(Object.entries(route.query?.shape ?? {}))('is refused when %s is wrong, or missing', async (name, field) => {
    const right = sampleOf(route.query ?? z.object({})) as Record<string, unknown>
    const wrong = wrongFor(field, ['no such thing!', 'x'.repeat(100_000)])
    if (wrong !== undefined) {
      const answer = await app.inject(requestFor(entry, { query: { ...right, [name]: wrong } }))
      const form = String(wrong).length > 1000 ? api.malformed.body : api.malformed.query
      expectMalformed(answer, form, name)
    }
    const { [name]: _, ...rest } = right
    const isRequired = !(field as z.ZodType).safeParse(undefined).success
    recorded.splice(0)
    const answer = await app.inject(requestFor(entry, { query: rest }))
    if (isRequired) expectMalformed(answer, api.malformed.query, name)
    else expect(answer.statusCode).toBe(route.success.status)
    expect(recorded).toHaveLength(isRequired ? 0 : 1)
  })
})

describe.each(titled(withParams))('the path of %s', (_, entry) => {
  const { api, route } = entry
  it.each(Object.entries(route.params?.shape ?? {}))('is refused when %s is wrong', async (name, field) => {
    const wrong = wrongFor(field, ['no such thing!', 'x'.repeat(2000)])
    if (wrong === undefined) return
    const params = { ...(sampleOf(route.params ?? z.object({})) as object), [name]: wrong }
    const answer = await app.inject(requestFor(entry, { params }))
    if (api.malformed.params === 'not-found') expect([answer.statusCode, answer.body]).toEqual([404, ''])
    else {
      expect(answer.statusCode).toBe(400)
      expect(answer.json<{ message: string }>().message).toContain(name)
      const type = api.malformed.params === 'json' ? 'application/json' : 'text/plain; charset=utf-8'
      expect(answer.headers['content-type']).toBe(type)
    }
    expect(recorded).toHaveLength(0)
  })
})
