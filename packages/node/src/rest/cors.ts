/** Cross-origin requests of browsers. Golem wire: spec/rest-api.md §1.3. */
import type { AppKeys } from './types.ts'

export type CorsRequest = {
  readonly method: string
  readonly origin: string | undefined
  readonly requestedMethod: string | undefined
  readonly requestedHeaders: string | undefined
  /** The key of the `Authorization` header. The one in the query does not count here. */
  readonly bearer: string | undefined
}

export type CorsAnswer = {
  /** A preflight is answered at once, by these headers alone. */
  readonly isPreflight: boolean
  readonly headers: Readonly<Record<string, string>>
}

export type CorsOptions = { readonly allowOrigins: readonly string[]; readonly corsMaxAgeSeconds: number }

/** What to add to the answer. An origin that is not allowed gets no headers, so that the browser refuses. */
export function answerCors(request: CorsRequest, keys: AppKeys, options: CorsOptions): CorsAnswer {
  const { origin } = request
  if (origin === undefined) return { isPreflight: false, headers: {} }
  const isPreflight = request.method === 'OPTIONS' && request.requestedMethod !== undefined
  const lists = isPreflight ? keys.appKeys() : [request.bearer && keys.findAppKey(request.bearer)]
  const allowed = [options.allowOrigins, ...lists.map((key) => (key ? key.allowOrigins : []))]
  if (!allowed.some((list) => list.includes('*') || list.includes(origin))) return { isPreflight, headers: {} }
  const headers = { 'access-control-allow-origin': origin, vary: 'Origin' }
  return { isPreflight, headers: isPreflight ? { ...headers, ...preflightHeaders(request, options) } : headers }
}

function preflightHeaders(request: CorsRequest, options: CorsOptions): Record<string, string> {
  return {
    'access-control-allow-methods': request.requestedMethod ?? 'GET',
    'access-control-max-age': String(options.corsMaxAgeSeconds),
    ...(request.requestedHeaders === undefined ? {} : { 'access-control-allow-headers': request.requestedHeaders }),
  }
}
