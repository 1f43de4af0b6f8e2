/**
 * REST: serves the APIs of `@emet/api` over HTTP on loopback. Each module brings its handlers; `mountApi` pairs them with
 * their declaration, and the server does the rest: CORS, app keys, parsing, exact answers, event streams, WebSockets.
 *
 *     request -> CORS -> app key -> route -> parse by schema -> handler -> encode by schema -> answer
 *
 * A handler gets parsed values and a signal that aborts when its client has gone or the server stops. It returns the
 * body, or throws `RestError` for a documented failure; anything else that it throws is a 500 and a line in the log.
 */
export { RestServerError, type RestServerErrorCode } from './errors.ts'
export { type Counter, createMetrics, type Gauge, type Labels, METRIC_SERIES_MAX, type Metrics } from './metrics.ts'
export {
  CONNECTIONS_MAX,
  EVENT_STREAM_PING_MS,
  JSON_BODY_BYTES_MAX,
  JSON_DEPTH_MAX,
  KEEP_ALIVE_MS,
  REQUEST_RECEIVE_MS_MAX,
  type RestOptions,
  restOptionsSchema,
  STOP_GRACE_MS,
  WEB_SOCKET_MESSAGE_BYTES_MAX,
} from './options.ts'
export { COMPATIBLE_VERSION, createRootRoutes, type HealthCheck, HealthProblem, type RootDeps } from './root-routes.ts'
export { createRestServer } from './server.ts'
export {
  type ApiMount,
  type AppKeys,
  mountApi,
  type RestServer,
  type RestServerDeps,
  type WebSocketHandler,
  type WebSocketHandlers,
} from './types.ts'
