/** The types of the client, derived from the declarations. */
import type { z } from 'zod'
import type { Api, Route } from '../route.ts'

/** What the caller gives for a schema: the inner form, where fields with a default may be left out. */
type Outgoing<S> = S extends z.ZodObject
  ? WithDefaults<z.output<S>, z.input<S>>
  : S extends z.ZodType
    ? z.output<S>
    : never

type WithDefaults<O, I> = {
  [K in keyof O as K extends keyof I ? (undefined extends I[K] ? never : K) : K]: O[K]
} & { [K in keyof O as K extends keyof I ? (undefined extends I[K] ? K : never) : never]?: O[K] | undefined }

// biome-ignore lint/complexity/noBannedTypes: {} adds nothing to an intersection
type Nothing = {}

type WithParams<R> = R extends { params: infer P extends z.ZodType } ? { params: Outgoing<P> } : Nothing
type WithQuery<R> = R extends { query: infer Q extends z.ZodType }
  ? Nothing extends Outgoing<Q>
    ? { query?: Outgoing<Q> }
    : { query: Outgoing<Q> }
  : Nothing
type WithBody<R> = R extends { body: infer B }
  ? { body: B extends 'bytes' ? Uint8Array | ReadableStream<Uint8Array> | Blob : Outgoing<B> }
  : Nothing

/** What every call may be given. */
export type CommonArguments = {
  readonly signal?: AbortSignal | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** What a call of the route is given. */
export type CallArguments<R> = WithParams<R> & WithQuery<R> & WithBody<R> & CommonArguments

/** What a call of the route resolves to. */
export type CallReply<R extends Route> = R['success']['body'] extends z.ZodType
  ? z.output<R['success']['body']>
  : R['success']['body'] extends 'text'
    ? string
    : R['success']['body'] extends 'bytes'
      ? ReadableStream<Uint8Array>
      : undefined

/** One event of a stream. */
export type StreamedEvent<Data> = {
  readonly event: string | undefined
  readonly id: string | undefined
  readonly data: Data
}

type Given<A, Result> = Nothing extends A ? (given?: A) => Result : (given: A) => Result

type Plain<R extends Route> = R['success']['body'] extends 'events'
  ? Nothing
  : Given<CallArguments<R>, Promise<CallReply<R>>>

type Streaming<R extends Route> = R extends { events: infer E extends z.ZodType }
  ? {
      /** The events as they come. Stopping the iteration closes the connection. */
      readonly stream: Given<CallArguments<R>, AsyncGenerator<StreamedEvent<z.output<E>>, void, undefined>>
    }
  : Nothing

/** A route as a function; with `stream` where the route has events; or the URL of its WebSocket. */
export type ClientMethod<R extends Route> = R extends { websocket: object }
  ? {
      /** The `ws:` URL, app key included. */
      readonly url: Given<WithParams<R> & WithQuery<R>, string>
    }
  : Plain<R> & Streaming<R>

/** An API as an object of functions. */
export type ClientGroup<A extends Api> = { readonly [K in keyof A['routes']]: ClientMethod<A['routes'][K]> }
