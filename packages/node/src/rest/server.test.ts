/** The server over real sockets. */
import { connect } from 'node:net'
import {
  type Api,
  activityApi,
  createClient,
  defineApi,
  EventStream,
  emetFilesApi,
  emetNodeApi,
  gsbApi,
  hasStatus,
  marketApi,
  ReplyWithHeaders,
  RestError,
  type RouteHandlers,
} from '@emet/api'
import { CodedError, type Logger, silentLogger } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import type { WebSocket as ServerSocket } from '@fastify/websocket'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createRestServer } from './server.ts'
import { type Recorded, recordingMounts, TEST_KEY, testDeps, testOptions } from './testing.ts'
import { type ApiMount, mountApi, type RestServer, type RestServerDeps } from './types.ts'

const KEY = { authorization: `Bearer ${TEST_KEY.key}` }
const running: RestServer[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()))
})

async function serve(mounts: readonly ApiMount[], deps: Partial<RestServerDeps> = {}, options = testOptions()) {
  const server = createRestServer(testDeps(mounts, deps), options)
  running.push(server)
  await server.start()
  return server
}

/** A mount of `api` where some handlers are the given ones and the rest are samples. */
function mountWith<const A extends Api>(api: A, own: Partial<RouteHandlers<A>>): ApiMount {
  const [mount] = recordingMounts([], [api])
  return { ...mount, api, handlers: { ...mount!.handlers, ...own }, webSockets: mount!.webSockets } as ApiMount
}

const clientOf = (server: RestServer) => createClient({ url: server.url, appKey: TEST_KEY.key })
const batch = { activityId: 'a', batchId: 'b' }
const started = (at: number) => ({
  batch_id: 'b',
  index: at,
  timestamp: 1_700_000_000_000_000,
  kind: { stdout: `line ${at}` },
})

describe('a long poll', () => {
  const pollApi = defineApi({
    base: '/poll',
    tag: 'poll',
    description: '',
    malformed: { body: 'json', query: 'json', params: 'json' },
    routes: {
      wait: {
        method: 'GET',
        path: '/wait',
        summary: '',
        success: { status: 200, body: z.array(z.string()) },
        errors: [],
      },
    },
  })
  function waiting() {
    const began = Promise.withResolvers<AbortSignal>()
    const mount = mountApi(pollApi, {
      wait: ({ signal }) => {
        began.resolve(signal)
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    })
    return { mount, began: began.promise }
  }

  it('is given up when its client goes', async () => {
    const { mount, began } = waiting()
    const server = await serve([mount])
    const abort = new AbortController()
    const call = fetch(`${server.url}/poll/wait`, { headers: KEY, signal: abort.signal })
    const signal = await began
    expect(signal.aborted).toBe(false)
    abort.abort()
    await expect(call).rejects.toThrow()
    await new Promise((resolve) => (signal.aborted ? resolve(0) : signal.addEventListener('abort', resolve)))
    expect(signal.reason).toMatchObject({ abortCause: 'client-gone' })
  })

  it('is answered 503 when the server stops', async () => {
    const { mount, began } = waiting()
    const server = await serve([mount])
    const call = fetch(`${server.url}/poll/wait`, { headers: KEY })
    await began
    await server.stop()
    const answer = await call
    expect([answer.status, await answer.json()]).toEqual([503, { message: 'the daemon is stopping' }])
    await expect(fetch(`${server.url}/poll/wait`)).rejects.toThrow()
  })
})

describe('stop', () => {
  it('takes less than a second with streams, sockets and stubborn handlers open', async () => {
    const stuck = Promise.withResolvers<void>()
    const server = await serve([
      mountWith(activityApi, {
        getExecResults: async () => new EventStream(endless()),
        getState: () => stuck.promise as Promise<never>,
      }),
      mountWith(gsbApi, {}),
    ])
    const stream = clientOf(server).activity.getExecResults.stream({ params: batch })
    expect((await stream.next()).value?.data.index).toBe(0)
    const socket = new WebSocket(clientOf(server).gsb.openService.url({ params: { servicesId: 'x' } }))
    await new Promise((resolve) => socket.addEventListener('open', resolve))
    const ignoring = clientOf(server).activity.getState({ params: { activityId: 'a' } })
    const ignored = expect(ignoring).rejects.toMatchObject({ code: 'unreachable' })
    const idle = connect(Number(new URL(server.url).port), '127.0.0.1')
    await new Promise((resolve) => idle.once('connect', resolve))
    const before = performance.now()
    await server.stop()
    expect(performance.now() - before).toBeLessThan(1000)
    await ignored
    await expect(stream.next()).rejects.toMatchObject({ code: 'broken-off' })
    idle.destroy()
  })

  it('may be called before start, and twice; and the server starts again', async () => {
    const server = createRestServer(testDeps(recordingMounts([])), testOptions())
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
    await server.start()
    running.push(server)
    expect((await clientOf(server).root.getMe()).name).toBe('text')
  })
})

async function* endless() {
  for (let at = 0; ; at++) {
    yield { event: 'runtime', data: started(at), id: String(at) }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('an event stream', () => {
  const open = (server: RestServer, init: RequestInit = {}) =>
    fetch(`${server.url}/activity-api/v1/activity/a/exec/b`, {
      ...init,
      headers: { ...KEY, accept: 'text/event-stream', ...(init.headers as object) },
    })
  const mounted = (events: () => AsyncIterable<{ event: string; data: unknown; id: string }>) =>
    mountWith(activityApi, {
      getExecResults: async ({ wantsEvents }) => (wantsEvents ? new EventStream(events()) : []),
    })

  it('has the frames of the original, then pings', async () => {
    const clock = createVirtualClock()
    const server = await serve(
      [
        mounted(async function* () {
          yield { event: 'runtime', data: started(0), id: '0' }
        }),
      ],
      { clock: { ...clock, sleep: async () => {} } },
    )
    const answer = await open(server)
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    const frame =
      'event: runtime\ndata: {"batch_id":"b","index":0,"timestamp":"2023-11-14T22:13:20.000000","kind":{"stdout":"line 0"}}\nid: 0\n\n'
    let text = ''
    const until = async (expected: string) => {
      while (text.length < expected.length) text += (await reader.read()).value
      expect(text).toBe(expected)
    }
    await until(`${frame}:ping\n\n`)
    await clock.advance(15_000)
    await until(`${frame}:ping\n\n:ping\n\n`)
    await reader.cancel()
  })

  it('ends its source at once when the client goes', async () => {
    const ended = Promise.withResolvers<void>()
    const server = await serve([
      mounted(async function* () {
        try {
          yield* endless()
        } finally {
          ended.resolve()
        }
      }),
    ])
    const abort = new AbortController()
    for await (const { data } of clientOf(server).activity.getExecResults.stream({
      params: batch,
      signal: abort.signal,
    }))
      if (data.index === 3) break
    await ended.promise
  })

  it('breaks when its source fails', async () => {
    const server = await serve([
      mounted(async function* () {
        yield { event: 'runtime', data: started(0), id: '0' }
        throw new Error('the peer is gone')
      }),
    ])
    const stream = clientOf(server).activity.getExecResults.stream({ params: batch })
    await stream.next()
    await expect(stream.next()).rejects.toMatchObject({ code: 'broken-off' })
  })

  it('does not outrun a client that reads slowly', async () => {
    let made = 0
    const server = await serve([
      mounted(async function* () {
        for (; made < 10_000; made++)
          yield { event: 'runtime', data: { ...started(made), kind: { stdout: 'x'.repeat(100_000) } }, id: '' }
      }),
    ])
    const answer = await open(server)
    const reader = answer.body!.getReader()
    await reader.read()
    let last = -1
    while (last !== made) {
      last = made
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(made).toBeLessThan(1000)
    await reader.cancel()
  })

  it('is not made for clients that want JSON', async () => {
    const server = await serve([mounted(() => endless())])
    expect(await clientOf(server).activity.getExecResults({ params: batch })).toEqual([])
  })
})

describe('failures', () => {
  it('are sent as documented, and never with a stack', async () => {
    class DemoError extends CodedError<'demo'> {}
    const logged: unknown[] = []
    const log: Logger = { ...silentLogger, error: (_, fields) => void logged.push(fields) }
    const errors = [
      new RestError(409, 'taken'),
      new RestError(404, null),
      new RestError(400, 'x', { body: { type: '/t' }, contentType: 'application/problem+json' }),
      new RestError(403, 'x', { body: '' }),
      new DemoError('demo', 'the demo failed'),
      new TypeError('secret detail'),
      'thrown text',
    ]
    let next = 0
    const server = await serve(
      [
        mountWith(marketApi, {
          listDemands: async () => {
            throw errors[next++]
          },
        }),
      ],
      { log },
    )
    const answers = []
    for (const _ of errors) {
      const answer = await fetch(`${server.url}/market-api/v1/demands`, { headers: KEY })
      answers.push([answer.status, answer.headers.get('content-type'), await answer.text()])
    }
    const internal = '{"message":"internal error; the log of the daemon says more"}'
    expect(answers).toEqual([
      [409, 'application/json', '{"message":"taken"}'],
      [404, 'application/json', '{"message":null}'],
      [400, 'application/problem+json', '{"type":"/t"}'],
      [403, null, ''],
      [500, 'application/json', '{"message":"the demo failed"}'],
      [500, 'application/json', internal],
      [500, 'application/json', internal],
    ])
    expect(logged).toHaveLength(2)
  })

  it('of a handler that breaks the contract are 500', async () => {
    const server = await serve([mountWith(marketApi, { listDemands: async () => [{ wrong: true }] as never })])
    await expect(clientOf(server).market.listDemands()).rejects.toSatisfy((error) => hasStatus(error, 500))
  })

  it('of a malformed target need a key too', async () => {
    const server = await serve(recordingMounts([]))
    expect((await fetch(`${server.url}/me%zz`)).status).toBe(401)
    expect((await fetch(`${server.url}/me%zz`, { headers: KEY })).status).toBe(400)
    const root = await fetch(server.url)
    expect([root.status, await root.text()]).toEqual([401, 'Missing application key'])
  })
})

describe('CORS', () => {
  const preflight = (origin: string) => ({
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,x' },
  })
  it('answers preflights without a key, for the origins of any key', async () => {
    const server = await serve(recordingMounts([]), {}, testOptions({ allowOrigins: ['https://all.example'] }))
    for (const origin of ['https://all.example', 'https://own.example']) {
      const answer = await fetch(`${server.url}/nowhere`, preflight(origin))
      expect(answer.status).toBe(200)
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'PUT',
        'access-control-allow-headers': 'authorization,x',
        'access-control-max-age': '3600',
      })
    }
    const other = await fetch(`${server.url}/me`, preflight('https://other.example'))
    expect(other.headers.get('access-control-allow-origin')).toBeNull()
    expect((await fetch(`${server.url}/me`, { method: 'OPTIONS' })).status).toBe(401)
  })

  it('marks answers, refusals and streams for the origins of the key in the header', async () => {
    const server = await serve(recordingMounts([]))
    const origin = 'https://own.example'
    const of = async (path: string, headers: Record<string, string>) =>
      (await fetch(server.url + path, { headers })).headers.get('access-control-allow-origin')
    expect(await of('/me', { ...KEY, origin })).toBe(origin)
    expect(await of('/nowhere', { ...KEY, origin })).toBe(origin)
    expect(await of('/activity-api/v1/_monitor', { ...KEY, origin })).toBe(origin)
    expect(await of(`/me?authToken=${TEST_KEY.key}`, { origin })).toBeNull()
    expect(await of('/me', { ...KEY, origin: 'https://other.example' })).toBeNull()
  })
})

describe('bytes', () => {
  it('go in and out as streams, beyond the limit of JSON bodies', async () => {
    let sizeBytes = 0
    const server = await serve([
      mountWith(emetFilesApi, {
        publishContent: async ({ body }) => {
          for await (const chunk of body) sizeBytes += chunk.length
          return { url: 'gftp:x', sha3: '', sizeBytes }
        },
        getContent: async () =>
          new ReplyWithHeaders(
            (async function* () {
              for (let at = 0; at < 30; at++) yield new Uint8Array(100_000).fill(at)
            })(),
            { 'content-type': 'image/png' },
          ),
      }),
    ])
    const client = clientOf(server)
    const published = await client.emet.files.publishContent({ body: new Uint8Array(5_000_000) })
    expect(published.sizeBytes).toBe(5_000_000)
    const content = await new Response(await client.emet.files.getContent({ query: { url: 'gftp:x' } })).bytes()
    expect([content.length, content.at(-1)]).toEqual([3_000_000, 29])
  })
})

describe('a WebSocket', () => {
  function gsb(check: (socket: ServerSocket) => void, refusal?: RestError): ApiMount {
    const [mount] = recordingMounts([], [gsbApi])
    const openService = async () => {
      if (refusal) throw refusal
      return check
    }
    return { ...mount!, webSockets: { openService } }
  }

  it('takes the key from the query and the declared subprotocol, and carries both ways', async () => {
    const server = await serve([gsb((socket) => socket.on('message', (data) => socket.send(data)))])
    const socket = new WebSocket(clientOf(server).gsb.openService.url({ params: { servicesId: 'x' } }), [
      'other',
      'gsb+flexbuffers',
    ])
    socket.binaryType = 'arraybuffer'
    await new Promise((resolve) => socket.addEventListener('open', resolve))
    expect(socket.protocol).toBe('gsb+flexbuffers')
    socket.send(Uint8Array.of(1, 2, 3))
    const { data } = await new Promise<MessageEvent>((resolve) => socket.addEventListener('message', resolve))
    expect(new Uint8Array(data)).toEqual(Uint8Array.of(1, 2, 3))
    socket.close()
  })

  it('is refused before the upgrade: without a key, by its handler, or where none is', async () => {
    const server = await serve([gsb(() => {}, new RestError(404, 'not bound')), mountWith(emetNodeApi, {})])
    expect(await upgrade(server, '/gsb-api/v1/services/x')).toContain('401 Unauthorized')
    const key = `?authToken=${TEST_KEY.key}`
    expect(await upgrade(server, `/gsb-api/v1/services/x${key}`)).toMatch(/404 Not Found.*"not bound"/s)
    expect(await upgrade(server, `/emet/v1/status${key}`)).toContain('400 Bad Request')
    expect(await upgrade(server, `/nowhere${key}`)).toContain('404 Not Found')
    const plain = await fetch(`${server.url}/gsb-api/v1/services/x`, { headers: KEY })
    expect(plain.status).toBe(400)
  })

  async function upgrade(server: RestServer, target: string): Promise<string> {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    )
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (text.includes('\r\n\r\n')) break
    }
    return text
  }
})

describe('starting', () => {
  it('refuses other hosts than loopback, taken ports, and routes without handlers', async () => {
    const start = (options: object, mounts: ApiMount[] = []) =>
      createRestServer(testDeps(mounts), testOptions(options)).start()
    await expect(start({ host: '0.0.0.0' })).rejects.toMatchObject({ code: 'not-loopback' })
    const server = await serve([])
    await expect(start({ port: Number(new URL(server.url).port) })).rejects.toMatchObject({ code: 'address-in-use' })
    const bare = { api: marketApi, handlers: {}, webSockets: {} }
    await expect(start({}, [bare])).rejects.toMatchObject({ code: 'bad-mount' })
    const remote = await serve([], {}, testOptions({ host: '0.0.0.0', allowRemote: true }))
    expect(remote.url).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/)
  })
})

describe('the recording server', () => {
  it('counts requests', async () => {
    const recorded: Recorded[] = []
    const deps = testDeps(recordingMounts(recorded))
    const server = createRestServer(deps, testOptions())
    running.push(server)
    await server.start()
    await clientOf(server).root.getMe()
    expect(recorded).toHaveLength(1)
    expect(deps.metrics?.text()).toContain('emet_rest_requests_total{method="GET",path="/me",status="200"} 1')
  })
})
