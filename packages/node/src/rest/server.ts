/** The HTTP server of the daemon. */
import { messageOf } from '@emet/core'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { authenticate, bearerOf } from './auth.ts'
import { type Calls, createCalls } from './calls.ts'
import { answerCors } from './cors.ts'
import { RestServerError } from './errors.ts'
import {
  CONNECTIONS_MAX,
  JSON_BODY_BYTES_MAX,
  KEEP_ALIVE_MS,
  REQUEST_RECEIVE_MS_MAX,
  type RestOptions,
  STOP_GRACE_MS,
  WEB_SOCKET_MESSAGE_BYTES_MAX,
} from './options.ts'
import { sendText } from './reply.ts'
import { answerError, serveRoute } from './serve-route.ts'
import type { ApiMount, RestServer, RestServerDeps } from './types.ts'

/** Longest path parameter, in characters. */
const PARAM_LENGTH_MAX = 4096

/** How often `stop()` looks whether the last answers are out, in ms. */
const STOP_POLL_MS = 10

/** Makes the server. It listens from `start()` on. */
export function createRestServer(deps: RestServerDeps, options: RestOptions): RestServer {
  let running: { readonly app: FastifyInstance; readonly calls: Calls } | undefined
  let url = ''
  return {
    get url() {
      return url
    },
    start: async () => {
      assertLoopback(options)
      const calls = createCalls()
      const app = await buildApp(deps, options, calls)
      running = { app, calls }
      url = await listen(app, options)
      deps.log.info('REST listens', { url })
    },
    stop: async () => {
      const stopped = running
      running = undefined
      if (!stopped) return
      const { app, calls } = stopped
      calls.stop()
      for (let waited = 0; calls.count > 0 && waited < STOP_GRACE_MS; waited += STOP_POLL_MS)
        await deps.clock.sleep(STOP_POLL_MS)
      for (const client of app.websocketServer.clients) client.terminate()
      app.server.closeAllConnections()
      await app.close()
    },
  }
}

/** The server without its socket. */
export async function buildApp(deps: RestServerDeps, options: RestOptions, calls: Calls): Promise<FastifyInstance> {
  const context = { ...deps, calls }
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: JSON_BODY_BYTES_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_RECEIVE_MS_MAX,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    frameworkErrors: (_error, request, reply) => void refuseBadTarget(deps, request, reply),
  })
  app.server.maxConnections = CONNECTIONS_MAX
  await app.register(websocket, { options: webSocketOptions(deps.mounts), preClose: (done) => done() })
  addHooks(app, deps, options, calls)
  parseBodiesAs(app, 'stream')
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, context))
  app.setNotFoundHandler((_request, reply) => reply.code(404).send())
  await app.register(async (scope) => {
    parseBodiesAs(scope, 'buffer')
    serveMounts(scope, deps.mounts, false, context)
  })
  serveMounts(app, deps.mounts, true, context)
  await app.ready()
  return app
}

/** Bodies are read here (or left to the handler, as a stream), and understood where the route is known. */
function parseBodiesAs(scope: FastifyInstance, form: 'buffer' | 'stream'): void {
  scope.removeAllContentTypeParsers()
  if (form === 'stream') scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  else scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
}

function serveMounts(
  scope: FastifyInstance,
  mounts: readonly ApiMount[],
  isBytes: boolean,
  context: Parameters<typeof serveRoute>[3],
): void {
  for (const mount of mounts)
    for (const [name, route] of Object.entries(mount.api.routes))
      if ((route.body === 'bytes') === isBytes) serveRoute(scope, mount, name, context)
}

/** CORS comes first, then the key, before any routing shows: an unknown path without a key is a 401. */
function addHooks(app: FastifyInstance, deps: RestServerDeps, options: RestOptions, calls: Calls): void {
  const requests = deps.metrics?.counter('emet_rest_requests_total', 'Requests answered, by route and status')
  app.addHook('onRequest', async (request, reply) => {
    nameContentType(request)
    const isPreflight = applyCors(deps, options, request, reply)
    if (isPreflight) return reply.code(200).send()
    const auth = authenticate(request.raw.url ?? '', request.headers.authorization, deps.keys.findAppKey)
    if (auth.kind === 'refused') return sendText(reply, 401, auth.message)
    const caller = auth.kind === 'known' ? auth.caller : undefined
    const connection = request.ws ? request.raw.socket : reply.raw
    calls.begin(request, (listener) => void connection.once('close', listener), caller)
    return undefined
  })
  app.addHook('onResponse', async (request, reply) => {
    requests?.add(1, {
      method: request.method,
      path: request.routeOptions.url ?? 'unknown',
      status: String(reply.statusCode),
    })
  })
}

/** A content type that is none becomes one that no route takes, so that each API refuses it in its own form. */
function nameContentType({ headers }: FastifyRequest): void {
  const type = headers['content-type']
  if (type !== undefined && !/^[\w.+-]+\/[\w.+-]+\s*(;|$)/.test(type))
    headers['content-type'] = 'application/octet-stream'
}

function applyCors(deps: RestServerDeps, options: RestOptions, request: FastifyRequest, reply: FastifyReply): boolean {
  const { headers, method } = request
  const answer = answerCors(
    {
      method,
      origin: headers.origin,
      requestedMethod: headers['access-control-request-method'],
      requestedHeaders: headers['access-control-request-headers'],
      bearer: bearerOf(headers.authorization),
    },
    deps.keys,
    options,
  )
  reply.headers({ ...answer.headers })
  return answer.isPreflight
}

/** Answers a target that is no path at all, such as one with a broken percent escape. */
function refuseBadTarget(deps: RestServerDeps, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const auth = authenticate(request.raw.url ?? '', request.headers.authorization, deps.keys.findAppKey)
  return auth.kind === 'refused' ? sendText(reply, 401, auth.message) : sendText(reply, 400, 'Malformed request path')
}

/** Takes the subprotocol that a route declares, when the client offers it. */
function webSocketOptions(mounts: readonly ApiMount[]) {
  const known = mounts.flatMap(({ api }) => Object.values(api.routes).map((route) => route.websocket?.protocol))
  return {
    maxPayload: WEB_SOCKET_MESSAGE_BYTES_MAX,
    handleProtocols: (offered: Set<string>) => [...offered].find((protocol) => known.includes(protocol)) ?? false,
  }
}

function assertLoopback({ host, allowRemote }: RestOptions): void {
  if (allowRemote || /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) return
  const message = `REST would listen on ${host}, where other machines can reach it with an app key; set allowRemote to permit that`
  throw new RestServerError('not-loopback', message, { host })
}

async function listen(app: FastifyInstance, { host, port }: RestOptions): Promise<string> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
    const hint = isTaken ? 'another program has the port; is a daemon running already?' : messageOf(cause)
    const message = `REST cannot listen on ${host}:${port}: ${hint}`
    throw new RestServerError(isTaken ? 'address-in-use' : 'listen-failed', message, { host, port }, { cause })
  }
  const address = app.server.address()
  const bound = typeof address === 'object' && address ? address.port : port
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`
}
