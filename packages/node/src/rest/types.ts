import type { Api, Route, RouteHandler, RouteHandlers, RouteRequest, WebSocketNames } from '@emet/api'
import type { Clock, Logger, Service } from '@emet/core'
import type { WebSocket } from '@fastify/websocket'
import type { AppKey } from '../identity/types.ts'
import type { Metrics } from './metrics.ts'

/**
 * Serves a WebSocket route in two steps: first it checks the request, and may throw `RestError`, which is answered
 * instead of the upgrade; then, once upgraded, the function that it has returned gets the socket. `request.signal`
 * aborts when the socket has closed.
 */
export type WebSocketHandler<R extends Route = Route> = (
  request: RouteRequest<R>,
) => Promise<(socket: WebSocket) => void>

export type WebSocketHandlers<A extends Api> = { readonly [K in WebSocketNames<A>]: WebSocketHandler<A['routes'][K]> }

/** An API and what serves it. Made by `mountApi`. */
export type ApiMount = {
  readonly api: Api
  readonly handlers: Readonly<Record<string, RouteHandler<Route>>>
  readonly webSockets: Readonly<Record<string, WebSocketHandler>>
}

/** Pairs an API with its handlers. */
export function mountApi<const A extends Api>(
  api: A,
  handlers: RouteHandlers<A>,
  ...webSockets: [WebSocketNames<A>] extends [never] ? [] : [WebSocketHandlers<A>]
): ApiMount {
  return {
    api,
    handlers: handlers as unknown as ApiMount['handlers'],
    webSockets: (webSockets[0] ?? {}) as unknown as ApiMount['webSockets'],
  }
}

/** What the server needs to know of app keys. */
export type AppKeys = {
  findAppKey(key: string): AppKey | undefined
  appKeys(): readonly AppKey[]
}

export type RestServerDeps = {
  readonly keys: AppKeys
  readonly mounts: readonly ApiMount[]
  readonly clock: Clock
  readonly log: Logger
  readonly metrics?: Metrics
}

/** Serves the APIs over HTTP. */
export interface RestServer extends Service {
  /** Where it listens, such as `http://127.0.0.1:7465`. Only while started. */
  readonly url: string
}
