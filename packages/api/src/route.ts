/**
 * How the REST contract is declared. A `Route` says everything about one endpoint: its path, what goes in, what comes
 * out, which statuses it may answer and in which form. The server validates with it, the client and its types are
 * derived from it, OpenAPI is generated from it, and the schema-driven tests take their cases from it.
 */
import type { NodeId } from '@emet/core'
import type { z } from 'zod'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** What a successful answer carries. A zod schema means JSON (also for bare strings and `null`). */
export type ReplyBody = z.ZodType | 'empty' | 'text'

export type Route = {
  readonly method: Method
  /** Below the API's base; parameters as `:name`. */
  readonly path: string
  readonly summary: string
  /** `open` needs no app key. Default `key`. */
  readonly access?: 'key' | 'open'
  readonly params?: z.ZodType
  readonly query?: z.ZodType
  /** The request's JSON body. */
  readonly body?: z.ZodType
  readonly success: { readonly status: number; readonly body: ReplyBody }
  /** Statuses of documented failures, beside 401 and 500. */
  readonly errors: readonly number[]
  /** How a malformed request is answered: `{"message"}` or plain text. The original differs between its APIs. */
  readonly malformed?: 'json' | 'text'
  /** The answer with `Accept: text/event-stream`: the schema of each event's data. */
  readonly events?: z.ZodType
  /** The endpoint upgrades to a WebSocket. */
  readonly websocket?: { readonly protocol?: string }
}

export type Api = { readonly base: string; readonly tag: string; readonly routes: Readonly<Record<string, Route>> }

/** Keeps the literal types of a declaration. */
export const defineApi = <const A extends Api>(api: A): A => api

type Parsed<S> = S extends z.ZodType ? z.output<S> : undefined
type Given<S> = S extends z.ZodType ? z.input<S> : undefined

/** The authenticated caller of a route: the app key's identity and name. Open routes have none. */
export type RestCaller = { readonly nodeId: NodeId; readonly keyName: string; readonly role: string }

/** What a handler gets: everything parsed. `signal` aborts when the client has gone. */
export type RouteRequest<R extends Route> = {
  readonly params: Parsed<R['params']>
  readonly query: Parsed<R['query']>
  readonly body: Parsed<R['body']>
  readonly caller: RestCaller
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

export type ServerEvent = { readonly event: string; readonly data: unknown; readonly id?: string }

/** An endless answer in the form `text/event-stream`. Data is sent as JSON. */
export class EventStream {
  readonly events: AsyncIterable<ServerEvent>
  constructor(events: AsyncIterable<ServerEvent>) {
    this.events = events
  }
}

type Success<R extends Route> = R['success']['body'] extends z.ZodType
  ? z.input<R['success']['body']>
  : R['success']['body'] extends 'text'
    ? string
    : undefined

/** A handler returns the success body, or an `EventStream` where the route has `events`; it throws `RestError` to fail. */
export type RouteHandler<R extends Route> = (request: RouteRequest<R>) => Promise<Success<R> | EventStream>

/** What a module's `routes.ts` makes: a handler for each (non-WebSocket) route of its API. */
export type RouteHandlers<A extends Api> = { readonly [K in keyof A['routes']]: RouteHandler<A['routes'][K]> }

/** What the client sends and gets for a route. */
export type ClientRequest<R extends Route> = {
  readonly params?: Given<R['params']>
  readonly query?: Given<R['query']>
  readonly body?: Given<R['body']>
  readonly headers?: Readonly<Record<string, string>>
}
export type ClientReply<R extends Route> = R['success']['body'] extends z.ZodType
  ? z.output<R['success']['body']>
  : R['success']['body'] extends 'text'
    ? string
    : undefined

/** A documented failure: `body` is sent as it is, JSON unless it is a string. Default body: `{ message }`. */
export class RestError extends Error {
  readonly status: number
  readonly body: unknown
  readonly contentType: string | undefined

  constructor(
    status: number,
    message: string,
    options: { body?: unknown; contentType?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'RestError'
    this.status = status
    this.body = options.body ?? { message }
    this.contentType = options.contentType
  }
}
