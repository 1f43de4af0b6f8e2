/**
 * The typed client of the daemon's REST API. It runs in Node and in browsers, and is derived from the declarations:
 *
 *     const client = createClient({ url: 'http://127.0.0.1:7465', appKey })
 *     const demandId = await client.market.createDemand({ body: { properties, constraints }, signal })
 *     for await (const { data } of client.activity.getExecResults.stream({ params, signal })) ...
 *
 * Amounts are `bigint`, instants `InstantUs`. A failure throws `ApiError`; an abort throws the signal's reason.
 */
import { messageOf } from '@emet/core'
import type { z } from 'zod'
import { activityApi } from '../activity.ts'
import {
  emetActivityApi,
  emetFilesApi,
  emetIdentityApi,
  emetMarketApi,
  emetNetApi,
  emetNodeApi,
  emetPaymentApi,
} from '../emet/index.ts'
import { gsbApi } from '../gsb.ts'
import { marketApi } from '../market.ts'
import { netApi } from '../net.ts'
import { paymentApi } from '../payment.ts'
import { rootApi } from '../root.ts'
import type { Api, Route } from '../route.ts'
import { ApiError } from './errors.ts'
import { readEvents } from './events.ts'
import { failureOf, readReply } from './reply.ts'
import { type AnyArguments, bodyText, callName, targetOf } from './request.ts'
import type { ClientGroup } from './types.ts'

export type ClientOptions = {
  /** The daemon's address, such as `http://127.0.0.1:7465`. A path in it is ignored. */
  readonly url: string
  readonly appKey?: string | undefined
  /** Default: the platform's. */
  readonly fetch?: typeof globalThis.fetch
}

/** The published APIs, and our own under `emet`. */
export type Client = {
  readonly root: ClientGroup<typeof rootApi>
  readonly market: ClientGroup<typeof marketApi>
  readonly activity: ClientGroup<typeof activityApi>
  readonly payment: ClientGroup<typeof paymentApi>
  readonly net: ClientGroup<typeof netApi>
  readonly gsb: ClientGroup<typeof gsbApi>
  readonly emet: {
    readonly identity: ClientGroup<typeof emetIdentityApi>
    readonly net: ClientGroup<typeof emetNetApi>
    readonly files: ClientGroup<typeof emetFilesApi>
    readonly payment: ClientGroup<typeof emetPaymentApi>
    readonly market: ClientGroup<typeof emetMarketApi>
    readonly activity: ClientGroup<typeof emetActivityApi>
    readonly node: ClientGroup<typeof emetNodeApi>
  }
}

/** Makes a client of the daemon at `options.url`. Nothing is sent before a method is called. */
export function createClient(options: ClientOptions): Client {
  const group = <A extends Api>(api: A) => createClientGroup(api, options)
  return {
    root: group(rootApi),
    market: group(marketApi),
    activity: group(activityApi),
    payment: group(paymentApi),
    net: group(netApi),
    gsb: group(gsbApi),
    emet: {
      identity: group(emetIdentityApi),
      net: group(emetNetApi),
      files: group(emetFilesApi),
      payment: group(emetPaymentApi),
      market: group(emetMarketApi),
      activity: group(emetActivityApi),
      node: group(emetNodeApi),
    },
  }
}

/** One API as an object of functions. */
export function createClientGroup<const A extends Api>(api: A, options: ClientOptions): ClientGroup<A> {
  const methods = Object.entries(api.routes).map(([name, route]) => [name, createMethod(api, route, options)])
  return Object.fromEntries(methods) as ClientGroup<A>
}

function createMethod(api: Api, route: Route, options: ClientOptions): unknown {
  const call = callName(api, route)
  if (route.websocket) return { url: (given: AnyArguments = {}) => webSocketUrl(api, route, options, given) }
  const plain = async (given: AnyArguments = {}) => {
    const response = await send(api, route, options, given, acceptOf(route))
    return readReply(response, route, call).catch((error) => {
      throw failureInTransit(error, 'broken-off', call, options, given.signal)
    })
  }
  const { events } = route
  return events ? Object.assign(plain, { stream: streamOf(api, route, options, events) }) : plain
}

const acceptOf = (route: Route) => (typeof route.success.body === 'object' ? 'application/json' : '*/*')

function streamOf(api: Api, route: Route, options: ClientOptions, events: z.ZodType) {
  return async function* (given: AnyArguments = {}) {
    const response = await send(api, route, options, given, 'text/event-stream')
    try {
      yield* readEvents(response, events, callName(api, route))
    } catch (error) {
      throw failureInTransit(error, 'broken-off', callName(api, route), options, given.signal)
    }
  }
}

async function send(
  api: Api,
  route: Route,
  options: ClientOptions,
  given: AnyArguments,
  accept: string,
): Promise<Response> {
  const url = new URL(targetOf(api, route, given), options.url)
  const init = requestOf(api, route, options, given, accept)
  const response = await (options.fetch ?? globalThis.fetch)(url, init).catch((error) => {
    throw failureInTransit(error, 'unreachable', callName(api, route), options, given.signal)
  })
  if (response.ok) return response
  throw await failureOf(response, callName(api, route))
}

function requestOf(api: Api, route: Route, options: ClientOptions, given: AnyArguments, accept: string): RequestInit {
  const init: RequestInit = {
    method: route.method,
    headers: {
      accept,
      ...(options.appKey === undefined ? {} : { authorization: `Bearer ${options.appKey}` }),
      ...(route.body === undefined ? {} : { 'content-type': contentTypeOf(route) }),
      ...given.headers,
    },
    ...(given.signal ? { signal: given.signal } : {}),
  }
  if (route.body === 'bytes')
    return { ...init, body: given.body as RequestInit['body'] & object, duplex: 'half' } as RequestInit
  return route.body ? { ...init, body: bodyText(route.body, api, route, given) } : init
}

const contentTypeOf = (route: Route) => (route.body === 'bytes' ? 'application/octet-stream' : 'application/json')

/** What to throw when there was no whole answer. */
function failureInTransit(
  error: unknown,
  code: 'unreachable' | 'broken-off',
  call: string,
  { url }: ClientOptions,
  signal: AbortSignal | undefined,
): unknown {
  if (signal?.aborted) return signal.reason
  if (error instanceof ApiError) return error
  const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
  const message =
    code === 'unreachable'
      ? `the daemon at ${url} does not answer (${cause}): is it running? Start it with "emet node run".`
      : `the connection to the daemon at ${url} broke off (${cause}); what was asked may have happened.`
  return new ApiError(code, `${call}: ${message}`, { call, cause: error })
}

function webSocketUrl(api: Api, route: Route, options: ClientOptions, given: AnyArguments): string {
  const url = new URL(targetOf(api, route, given), options.url)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  if (options.appKey !== undefined) url.searchParams.set('authToken', options.appKey)
  return url.href
}
