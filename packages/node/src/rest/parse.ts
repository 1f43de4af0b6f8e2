/** Parses requests by their route's schemas. A wrong one is answered as its API does. Golem wire: spec/rest-api.md §1.4. */
import { type Api, RestError, type Route } from '@emet/api'
import type { z } from 'zod'
import { explainIssue } from './explain.ts'
import { JSON_DEPTH_MAX } from './options.ts'

/** A request as it comes in. */
export type RawRequest = {
  readonly params: unknown
  readonly query: unknown
  readonly contentType: string | undefined
  /** The bytes of the body; a stream where the route's body is `bytes`; undefined when there is none. */
  readonly body: unknown
}

export type ParsedRequest = { readonly params: unknown; readonly query: unknown; readonly body: unknown }

const TEXT = 'text/plain; charset=utf-8'

/** Throws `RestError` with the documented status and form. */
export function parseRequest(api: Api, route: Route, raw: RawRequest): ParsedRequest {
  return {
    params: route.params && parseParams(api, route.params, raw.params),
    query: route.query && parseQuery(api, route.query, raw.query),
    body: route.body === 'bytes' ? raw.body : route.body && parseBody(api, route.body, raw),
  }
}

function parseParams(api: Api, schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const message = explainIssue(result.error, given, 'path')
  const form = api.malformed.params
  if (form === 'json') throw new RestError(400, message)
  if (form === 'not-found') throw new RestError(404, message, { body: '' })
  throw new RestError(400, message, { body: JSON.stringify({ message }), contentType: TEXT })
}

function parseQuery(api: Api, schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const message = explainIssue(result.error, given, 'query')
  const isRange = result.error.issues.every(({ code }) => code === 'too_small' || code === 'too_big')
  throw malformed(isRange ? api.malformed.body : api.malformed.query, `Query deserialize error: ${message}`)
}

function parseBody(api: Api, schema: z.ZodType, raw: RawRequest): unknown {
  const fail = (message: string) => malformed(api.malformed.body, message)
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(raw.contentType ?? ''))
    throw fail('Content type error: the body must be application/json')
  const value = parseJson(raw.body instanceof Uint8Array ? raw.body : new Uint8Array(), fail)
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw fail(`Json deserialize error: ${explainIssue(result.error, value, 'body')}`)
}

function parseJson(bytes: Uint8Array, fail: (message: string) => RestError): unknown {
  if (bytes.length === 0) throw fail('Json deserialize error: the body is empty')
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (isTooDeep(text)) throw new Error(`it is nested deeper than ${JSON_DEPTH_MAX}`)
    return JSON.parse(text)
  } catch (error) {
    throw fail(`Json deserialize error: the body is not JSON: ${error instanceof Error ? error.message : error}`)
  }
}

/** Counts brackets outside of strings. */
function isTooDeep(text: string): boolean {
  let depth = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (isInString) {
      if (char === 0x5c) at++
      else if (char === 0x22) isInString = false
    } else if (char === 0x22) isInString = true
    else if (char === 0x5b || char === 0x7b) {
      if (++depth > JSON_DEPTH_MAX) return true
    } else if (char === 0x5d || char === 0x7d) depth--
  }
  return false
}

function malformed(form: 'json' | 'text', message: string): RestError {
  return form === 'json'
    ? new RestError(400, message)
    : new RestError(400, message, { body: message, contentType: TEXT })
}
