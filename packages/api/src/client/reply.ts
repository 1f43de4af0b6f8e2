/** From an HTTP response to what the caller gets. */
import type { z } from 'zod'
import type { Route } from '../route.ts'
import { ApiError } from './errors.ts'

/** Longest part of a text body that goes into an error's message, in characters. */
const MESSAGE_LENGTH_MAX = 500

/** The body of a successful response. */
export async function readReply(response: Response, route: Route, call: string): Promise<unknown> {
  const { body } = route.success
  if (body === 'bytes') return response.body ?? new Blob([]).stream()
  const text = await response.text()
  if (body === 'text') return text
  if (body === 'empty' || body === 'events') return undefined
  return decodeReply(body, text, call, response.status)
}

/** Parses JSON text by a schema. */
export function decodeReply(schema: z.ZodType, text: string, call: string, status: number): unknown {
  const result = schema.safeParse(parseJson(text, call, status))
  if (result.success) return result.data
  const [issue] = result.error.issues
  const where = issue?.path.length ? `${issue.path.join('.')}: ` : ''
  throw new ApiError('bad-reply', `${call}: the daemon's answer does not fit the contract: ${where}${issue?.message}`, {
    call,
    status,
    body: text.slice(0, MESSAGE_LENGTH_MAX),
    cause: result.error,
  })
}

function parseJson(text: string, call: string, status: number): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ApiError('bad-reply', `${call}: the daemon's answer is not JSON`, { call, status, body: text, cause })
  }
}

/** The error of a failed response. */
export async function failureOf(response: Response, call: string): Promise<ApiError> {
  const text = await response.text().catch(() => '')
  const body = isJson(response) ? tryParse(text) : text
  const said = messageIn(body)
  const message = `${call} failed with ${response.status}${said ? `: ${said}` : ''}`
  return new ApiError('status', message, { call, status: response.status, body })
}

const isJson = (response: Response) => /^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '')

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The words of `{message}`, of problem+json, or of plain text. */
function messageIn(body: unknown): string | undefined {
  if (typeof body === 'string') return body.slice(0, MESSAGE_LENGTH_MAX) || undefined
  if (typeof body !== 'object' || body === null) return undefined
  const { message, detail, type } = body as Record<string, unknown>
  return [message, detail, type].find((words) => typeof words === 'string' && words !== '') as string | undefined
}
