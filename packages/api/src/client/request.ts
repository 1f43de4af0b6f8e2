/** From what a caller gives to an HTTP request. */
import { z } from 'zod'
import { type Api, type Route, routePath } from '../route.ts'
import { ApiError } from './errors.ts'

/** The arguments of any route, without their types. */
export type AnyArguments = {
  readonly params?: Readonly<Record<string, unknown>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

/** A name of the call for messages: `POST /market-api/v1/demands`. */
export const callName = (api: Api, route: Route): string => `${route.method} ${routePath(api, route)}`

/** The path and the query. */
export function targetOf(api: Api, route: Route, given: AnyArguments): string {
  const params = encodeFields(route.params, given.params, callName(api, route), 'params')
  const query = encodeFields(route.query, given.query, callName(api, route), 'query')
  const path = routePath(api, route).replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])))
  const search = new URLSearchParams(query as Record<string, string>).toString()
  return search === '' ? path : `${path}?${search}`
}

/** The JSON text of a body. */
export function bodyText(schema: z.ZodType, api: Api, route: Route, given: AnyArguments): string {
  const wire =
    schema instanceof z.ZodObject
      ? encodeFields(schema, given.body as Record<string, unknown> | undefined, callName(api, route), 'body')
      : encodeValue(schema, given.body, callName(api, route), 'body')
  return JSON.stringify(wire)
}

/** Encodes field by field, so that fields with a default may be left out. */
function encodeFields(
  schema: z.ZodObject | undefined,
  values: Readonly<Record<string, unknown>> = {},
  call: string,
  place: string,
): Record<string, unknown> {
  const wire: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(schema?.shape ?? {})) {
    const value = values[name]
    if (value === undefined && isOptional(field)) continue
    const encoded = encodeValue(field as z.ZodType, value, call, `${place}.${name}`)
    if (encoded !== undefined) wire[name] = encoded
  }
  return wire
}

const isOptional = (field: unknown): boolean => (field as z.ZodType).safeParse(undefined).success

function encodeValue(schema: z.ZodType, value: unknown, call: string, place: string): unknown {
  const result = z.safeEncode(schema, value as never)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const where = [place, ...(issue?.path ?? [])].join('.')
  throw new ApiError('bad-request', `${call}: ${where}: ${issue?.message}`, { call, cause: result.error })
}
