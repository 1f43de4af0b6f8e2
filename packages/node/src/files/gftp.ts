/**
 * Files by messages, for every Golem node. Golem wire: spec/wire.md §4.6; `/public/gftp/<name>/<Message>`, failures as
 * `{ReadError|WriteError|InternalError: text}` or `"IntegrityError"`. Who knows a name may read the file, or write it.
 */
import { type Bus, type BusCall, BusError, forwarderOf, ReplyError } from '@emet/bus'
import { messageOf, type Unregister } from '@emet/core'
import { z } from 'zod'
import { FilesError } from './errors.ts'
import { CHUNK_BYTES_MAX } from './options.ts'
import type { Shelf } from './shelf.ts'

const PREFIX = '/public/gftp'

const wholeNumber = z
  .union([z.number(), z.bigint()])
  .transform(Number)
  .pipe(z.int().min(0).max(Number.MAX_SAFE_INTEGER))
const bytes = z.union([
  z.instanceof(Uint8Array),
  z
    .array(z.int().min(0).max(255))
    .max(CHUNK_BYTES_MAX)
    .transform((list) => Uint8Array.from(list)),
])
const getChunkSchema = z.object({ offset: wholeNumber, size: wholeNumber })
const uploadChunkSchema = z.object({ chunk: z.object({ offset: wholeNumber, content: bytes }) })
const uploadFinishedSchema = z.object({
  hash: z
    .string()
    .regex(/^(0x)?[0-9a-fA-F]{64}$/)
    .transform((hex) => hex.replace(/^0x/, '').toLowerCase())
    .nullish(),
})

/** Serves the messages over the shelf. */
export function serveGftp(bus: Bus, shelf: Shelf): Unregister {
  const handlers: Readonly<Record<string, (name: string, call: BusCall) => Promise<unknown>>> = {
    GetMetadata: async (name) => ({ fileSize: (await shelf.published(name)).sizeBytes }),
    GetChunk: async (name, call) => {
      const { offset, size } = parse(getChunkSchema, call)
      return { offset, content: await shelf.read(name, offset, size) }
    },
    UploadChunk: async (name, call) => {
      const { chunk } = parse(uploadChunkSchema, call)
      await shelf.write(name, chunk.offset, chunk.content)
    },
    UploadFinished: async (name, call) => {
      await shelf.finish(name, parse(uploadFinishedSchema, call).hash ?? undefined)
    },
  }
  const handle = async (call: BusCall): Promise<unknown> => {
    const [name = '', message = '', ...rest] = call.address.slice(PREFIX.length + 1).split('/')
    const handler = Object.hasOwn(handlers, message) && rest.length === 0 ? handlers[message] : undefined
    if (!handler) throw new BusError('no-endpoint', `${call.address}: endpoint address not found`)
    try {
      return await handler(name, call)
    } catch (error) {
      throw toWireError(error, message, call.address)
    }
  }
  return bus.route(PREFIX, forwarderOf(handle))
}

function parse<S extends z.ZodType>(schema: S, call: BusCall): z.output<S> {
  const parsed = schema.safeParse(call.body.value())
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new FilesError('bad-request', `${call.address}: ${issue?.path.join('.') || 'value'}: ${issue?.message}`)
}

function toWireError(error: unknown, message: string, address: string): Error {
  if (!(error instanceof FilesError)) return error instanceof Error ? error : new Error(messageOf(error))
  // Golem wire: an unknown name is an address where nobody listens.
  if (error.code === 'not-found') return new BusError('no-endpoint', `${address}: endpoint address not found`)
  if (error.code === 'integrity') return new ReplyError('IntegrityError')
  const kind = message.startsWith('Upload') ? 'WriteError' : 'ReadError'
  return new ReplyError({ [error.code === 'failed' ? 'InternalError' : kind]: error.message })
}
