/** Sends what handlers return, and what they throw. Golem wire: spec/rest-api.md §1.4 and §8. */
import { Readable } from 'node:stream'
import { ReplyWithHeaders, type RestError, type Route } from '@emet/api'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'

/** Sends a success. Throws when the handler's value does not fit the contract, which is a defect of ours. */
export function sendSuccess(reply: FastifyReply, route: Route, result: unknown): FastifyReply {
  const { body, status } = route.success
  const value = result instanceof ReplyWithHeaders ? result.body : result
  const text = body instanceof z.ZodType ? encodeJson(body, value) : undefined
  reply.code(status)
  if (result instanceof ReplyWithHeaders) reply.headers({ ...result.headers })
  if (text !== undefined) return sendBytes(reply, JSON_TYPE, text)
  if (body === 'text') return sendBytes(reply, TEXT_TYPE, String(value))
  if (body === 'bytes') return sendStream(reply, value)
  return reply.send()
}

/** Sends a documented failure. */
export function sendFailure(reply: FastifyReply, error: RestError): FastifyReply {
  reply.code(error.status)
  const { body } = error
  if (body === '') return reply.send()
  if (typeof body === 'string') return sendBytes(reply, error.contentType ?? TEXT_TYPE, body)
  return sendBytes(reply, error.contentType ?? JSON_TYPE, JSON.stringify(body))
}

/** Sends plain text. */
export function sendText(reply: FastifyReply, status: number, text: string): FastifyReply {
  return sendBytes(reply.code(status), TEXT_TYPE, text)
}

function encodeJson(schema: z.ZodType, value: unknown): string {
  const result = z.safeEncode(schema, value as never)
  if (result.success) return JSON.stringify(result.data)
  throw new TypeError(`the answer does not fit the contract: ${z.prettifyError(result.error)}`)
}

/** As bytes, so that the content type goes out exactly as given. */
function sendBytes(reply: FastifyReply, contentType: string, text: string): FastifyReply {
  return reply.header('content-type', contentType).send(Buffer.from(text))
}

function sendStream(reply: FastifyReply, value: unknown): FastifyReply {
  if (!reply.hasHeader('content-type')) reply.header('content-type', 'application/octet-stream')
  if (value instanceof Uint8Array) return reply.send(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
  return reply.send(Readable.from(value as AsyncIterable<Uint8Array>, { objectMode: false }))
}
