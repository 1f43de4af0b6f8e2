/** Serves one route: parse, handle, answer. */
import { type Api, EventStream, type RestCaller, RestError, type Route, type RouteRequest, routePath } from '@emet/api'
import { CodedError, messageOf } from '@emet/core'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Calls, RequestAborted } from './calls.ts'
import { RestServerError } from './errors.ts'
import { writeEventStream } from './event-stream.ts'
import { parseRequest } from './parse.ts'
import { sendFailure, sendSuccess } from './reply.ts'
import type { ApiMount, RestServerDeps } from './types.ts'

type Context = Pick<RestServerDeps, 'clock' | 'log'> & { readonly calls: Calls }

/** Adds a route to the server. Throws `RestServerError` `bad-mount` when nothing handles it. */
export function serveRoute(app: FastifyInstance, mount: ApiMount, name: string, context: Context): void {
  const route = mount.api.routes[name]
  if (!route) return
  const url = routePath(mount.api, route)
  const serve = route.websocket ? serveWebSocket : serveHttp
  if (!(route.websocket ? mount.webSockets : mount.handlers)[name])
    throw new RestServerError('bad-mount', `no handler for ${route.method} ${url} (${mount.api.tag}: ${name})`, {
      name,
    })
  serve(app, mount, name, route, context)
}

function serveHttp(app: FastifyInstance, mount: ApiMount, name: string, route: Route, context: Context): void {
  const handler = mount.handlers[name]
  if (!handler) return
  app.route({
    method: route.method,
    url: routePath(mount.api, route),
    preHandler: async (request) => {
      if (request.ws) throw new RestError(400, 'this path is no WebSocket')
      requireRole(mount.api, route, context.calls.of(request)?.caller)
    },
    handler: async (request, reply) => {
      const result = await handler(parsed(mount, route, request, context) as RouteRequest<Route>)
      if (!(result instanceof EventStream)) return sendSuccess(reply, route, result)
      await sendEvents(result, route, request, reply, context)
    },
  })
}

function serveWebSocket(app: FastifyInstance, mount: ApiMount, name: string, route: Route, context: Context): void {
  const check = mount.webSockets[name]
  if (!check) return
  const accepted = new WeakMap<FastifyRequest, (socket: WebSocket) => void>()
  app.route({
    method: 'GET',
    url: routePath(mount.api, route),
    websocket: true,
    preHandler: async (request) => {
      if (!request.ws) throw new RestError(400, 'this path wants a WebSocket')
      requireRole(mount.api, route, context.calls.of(request)?.caller)
      accepted.set(request, await check(parsed(mount, route, request, context) as RouteRequest<Route>))
    },
    handler: (socket, request) => accepted.get(request)?.(socket),
  })
}

/** Refuses an app key without the role that the route wants. */
function requireRole(api: Api, route: Route, caller: RestCaller | undefined): void {
  if (route.access !== 'manager' || caller?.role === 'manager') return
  throw forbidden(`${route.method} ${routePath(api, route)}`, caller)
}

function requireRoleForFields({ managerFields = [] }: Route, body: unknown, caller: RestCaller | undefined): void {
  if (caller?.role === 'manager' || typeof body !== 'object' || body === null) return
  for (const name of managerFields)
    if ((body as Record<string, unknown>)[name] !== undefined) throw forbidden(`the field "${name}"`, caller)
}

function forbidden(what: string, caller: RestCaller | undefined): RestError {
  const message =
    `${what} needs an app key with the role manager, and "${caller?.keyName}" has the role ${caller?.role}; ` +
    '`emet app-key create <name>` makes one'
  return new RestError(403, message)
}

/** What the handler gets. */
function parsed(mount: ApiMount, route: Route, request: FastifyRequest, { calls }: Context): unknown {
  const call = calls.of(request)
  const { headers } = request
  const input = parseRequest(mount.api, route, {
    params: request.params,
    query: request.query,
    contentType: headers['content-type'],
    body: request.body,
  })
  requireRoleForFields(route, input.body, call?.caller)
  return {
    ...input,
    caller: call?.caller satisfies RestCaller | undefined,
    headers,
    wantsEvents: (headers.accept ?? '').includes('text/event-stream'),
    signal: call?.signal,
  }
}

async function sendEvents(
  stream: EventStream,
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
  { calls, clock, log }: Context,
): Promise<void> {
  const signal = calls.of(request)?.signal
  if (!route.events || !signal) throw new TypeError('this route declares no events')
  reply.hijack()
  reply.raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
  })
  reply.raw.flushHeaders()
  await writeEventStream(stream, route.events, reply.raw, signal, clock).catch((error) =>
    log.warn('an event stream broke', { path: request.routeOptions.url, error: messageOf(error) }),
  )
}

/** Answers what a handler, or the server itself, has thrown. Never shows a stack. */
export function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  context: Context,
): FastifyReply {
  const cause = context.calls.of(request)?.signal.reason
  if (error instanceof RestError) return sendFailure(reply, error)
  if (cause instanceof RequestAborted) return sendFailure(reply, new RestError(503, cause.message))
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  if (typeof status === 'number' && status >= 400 && status < 500)
    return sendFailure(reply, new RestError(status, messageOf(error), { body: messageOf(error) }))
  const facts = { method: request.method, path: request.routeOptions.url, error: messageOf(error) }
  if (error instanceof CodedError) {
    context.log.warn('a request failed', { ...facts, code: error.code })
    return sendFailure(reply, new RestError(500, error.message))
  }
  context.log.error('a request failed in an unforeseen way', {
    ...facts,
    stack: error instanceof Error ? error.stack : undefined,
  })
  return sendFailure(reply, new RestError(500, 'internal error; the log of the daemon says more'))
}
