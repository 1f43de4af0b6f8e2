/**
 * How the REST contract is declared. A `Route` says everything about one endpoint: its path, what goes in, what comes
 * out, which statuses it may answer and in which form. The server validates with it, the client and its types are
 * derived from it, OpenAPI is generated from it, and the schema-driven tests take their cases from it.
 *
 * Schemas are codecs. Wire text is decoded as it comes in and encoded as it goes out, on both sides, so handlers and
 * clients work with `bigint` amounts, `InstantUs` instants and `NodeId`s only.
 */
import type { NodeId } from '@emet/core'
import { z } from 'zod'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/**
 * What a successful answer carries. A zod schema means JSON (also for bare strings and `null`); `events` an endless
 * event stream and nothing else; `bytes` raw bytes as they come.
 */
export type ReplyBody = z.ZodType | 'empty' | 'text' | 'bytes' | 'events'

export type Route = {
  readonly method: Method
  /** Below the API's base; parameters as `:name`. */
  readonly path: string
  readonly summary: string
  readonly description?: string
  /** `open` needs no app key, `manager` one with that role. Default `key`: any. */
  readonly access?: 'key' | 'open' | 'manager'
  /** Fields of the body that only a manager may give, where others may call the route without them. */
  readonly managerFields?: readonly string[]
  readonly params?: z.ZodObject
  /** Each value is text on the wire; a field may declare a list to take a repeated one. */
  readonly query?: z.ZodObject
  /** The request's JSON body; or `bytes`: the raw body as a stream, of any length. */
  readonly body?: z.ZodType | 'bytes'
  readonly success: { readonly status: number; readonly body: ReplyBody }
  /** Statuses of documented failures, beside 401 and 500. */
  readonly errors: readonly number[]
  /** The answer with `Accept: text/event-stream`: the schema of each event's data. */
  readonly events?: z.ZodType
  /** The endpoint upgrades to a WebSocket. */
  readonly websocket?: { readonly protocol?: string }
}

/** How requests that do not fit their schema are answered. The original differs between its APIs. */
export type MalformedAnswers = {
  /** A body that is not JSON or does not fit: 400, as `{"message"}` or as plain text. */
  readonly body: 'json' | 'text'
  /** A query that does not parse: 400. A number outside its range is answered like a body. */
  readonly query: 'json' | 'text'
  /** A path parameter of the wrong form: 400 with `{"message"}`, the same served as plain text, or 404 and nothing. */
  readonly params: 'json' | 'json-as-text' | 'not-found'
}

export type Api = {
  /** The path prefix, without a slash at its end; empty for the root. */
  readonly base: string
  readonly tag: string
  readonly description: string
  readonly malformed: MalformedAnswers
  readonly routes: Readonly<Record<string, Route>>
}

/** Keeps the literal types of a declaration. */
export const defineApi = <const A extends Api>(api: A): A => api

type Parsed<S> = S extends z.ZodType ? z.output<S> : S extends 'bytes' ? AsyncIterable<Uint8Array> : undefined

/**
 * What an app key may do. A `manager` may do everything, as every key of the original may. An `agent` may trade for its
 * identity, by the published APIs and ours; it may not change the node: its identities, keys, peers and settings.
 */
export const APP_KEY_ROLES = ['manager', 'agent'] as const
export type AppKeyRole = (typeof APP_KEY_ROLES)[number]

/** The authenticated caller of a route: the app key's identity, name and role. */
export type RestCaller = { readonly nodeId: NodeId; readonly keyName: string; readonly role: AppKeyRole }

/** The statuses of documented failures of a route, beside 500: its own, and those of its access. */
export function failureStatuses({ access, managerFields, errors }: Route): number[] {
  const ofAccess = access === 'open' ? [] : access === 'manager' || managerFields ? [401, 403] : [401]
  return [...new Set([...errors, ...ofAccess])]
}

/** What a handler gets: everything parsed. `signal` aborts when the client has gone or the server stops. */
export type RouteRequest<R extends Route> = {
  readonly params: Parsed<R['params']>
  readonly query: Parsed<R['query']>
  readonly body: Parsed<R['body']>
  /** Open routes have none. */
  readonly caller: R extends { access: 'open' } ? RestCaller | undefined : RestCaller
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The client asked for `text/event-stream`: answer with an `EventStream`. */
  readonly wantsEvents: boolean
  readonly signal: AbortSignal
}

/** One event of a stream. `event` and `id` are left out of the frame when undefined. */
export type ServerEvent = { readonly event?: string; readonly data: unknown; readonly id?: string }

/**
 * An answer in the form `text/event-stream`. Data is encoded with the route's `events` schema and sent as JSON. When
 * `events` ends, the connection stays open with `:ping` lines, since clients take a close for a failure; `whenDone:
 * 'close'` closes it. When `events` throws, the connection breaks.
 */
export class EventStream {
  readonly events: AsyncIterable<ServerEvent>
  readonly whenDone: 'keep-open' | 'close'
  constructor(events: AsyncIterable<ServerEvent>, options: { whenDone?: 'keep-open' | 'close' } = {}) {
    this.events = events
    this.whenDone = options.whenDone ?? 'keep-open'
  }
}

/** A success body together with headers of its own, such as `location`. */
export class ReplyWithHeaders<T> {
  readonly body: T
  readonly headers: Readonly<Record<string, string>>
  constructor(body: T, headers: Readonly<Record<string, string>>) {
    this.body = body
    this.headers = headers
  }
}

/** What a handler returns for each kind of `ReplyBody`. */
type Success<R extends Route> = R['success']['body'] extends z.ZodType
  ? z.output<R['success']['body']>
  : R['success']['body'] extends 'text'
    ? string
    : R['success']['body'] extends 'bytes'
      ? AsyncIterable<Uint8Array> | Uint8Array
      : R['success']['body'] extends 'events'
        ? EventStream
        : undefined

type Streamed<R extends Route> = R extends { events: z.ZodType } ? EventStream : never

/** A handler returns the success body, or an `EventStream` where the route has `events`; it throws `RestError` to fail. */
export type RouteHandler<R extends Route> = (
  request: RouteRequest<R>,
) => Promise<Success<R> | ReplyWithHeaders<Success<R>> | Streamed<R>>

/** What a module's `routes.ts` makes: a handler for each (non-WebSocket) route of its API. */
export type RouteHandlers<A extends Api> = {
  readonly [K in keyof A['routes'] as A['routes'][K] extends { websocket: object } ? never : K]: RouteHandler<
    A['routes'][K]
  >
}

/** The names of the WebSocket routes of an API. */
export type WebSocketNames<A extends Api> = {
  [K in keyof A['routes']]: A['routes'][K] extends { websocket: object } ? K : never
}[keyof A['routes']]

/**
 * A documented failure. `body` is sent as JSON, or as it is when it is text (an empty text: no body at all). Default:
 * `{ message }`.
 */
export class RestError extends Error {
  readonly status: number
  readonly body: unknown
  readonly contentType: string | undefined

  constructor(
    status: number,
    message: string | null,
    options: { body?: unknown; contentType?: string; cause?: unknown } = {},
  ) {
    super(message ?? '', { cause: options.cause })
    this.name = 'RestError'
    this.status = status
    this.body = options.body === undefined ? { message } : options.body
    this.contentType = options.contentType
  }
}

/** The full path of a route, parameters as `:name`. */
export const routePath = (api: Api, route: Route): string => `${api.base}${route.path}`

/** The body schema for actions that carry nothing back: JSON `null`. */
export const nullSchema = z.null()
