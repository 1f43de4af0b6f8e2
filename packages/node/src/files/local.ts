/**
 * Files of other nodes for the processes of this one, exe-units above all: the daemon fetches and sends, at the speed of
 * bulk streams, and the process reads and writes the files itself.
 *
 *     /local/files/Read  { url, offset }   the bytes from `offset` on, in blobs; at the end { sizeBytes } of the whole
 *     /local/files/Write { url, from }     the daemon reads what to send from the caller's own streamed `from { offset }`,
 *                                          beginning where the other node wants to go on; yields { sentBytes } meanwhile
 *
 * Both are streams, so a slow end holds up the other one, and who stops listening ends the transfer. After a `Write` the
 * caller says `UploadFinished` by message, with the hash. Failures are `{ code, message }` of `FilesError`.
 */
import { type Bus, type BusCall, BusError, ReplyError } from '@emet/bus'
import { type Clock, messageOf, type Unregister } from '@emet/core'
import { z } from 'zod'
import { FilesError } from './errors.ts'
import { CHUNK_TIMEOUT_MS, LOCAL_CHUNK_BYTES_MAX, LOCAL_PROGRESS_MS } from './options.ts'
import { openSource, openTarget, type RemoteDeps } from './remote.ts'
import { parseFileUrl } from './url.ts'

export const LOCAL_READ = '/local/files/Read'
export const LOCAL_WRITE = '/local/files/Write'

const offset = z.union([z.number(), z.bigint()]).transform(Number).pipe(z.int().min(0).max(Number.MAX_SAFE_INTEGER))
const readSchema = z.object({ url: z.string(), offset })
const writeSchema = z.object({ url: z.string(), from: z.string().startsWith('/local/') })

/** Serves both until the returned function is called. */
export function serveLocal(deps: RemoteDeps & { readonly clock: Clock }): Unregister {
  const ends = [
    deps.bus.bind(LOCAL_READ, (call) => explained(call, read(deps, call))),
    deps.bus.bind(LOCAL_WRITE, (call) => explained(call, write(deps, call))),
  ]
  return () => {
    for (const end of ends) end()
  }
}

async function* read(deps: RemoteDeps, call: BusCall): AsyncIterable<unknown> {
  const asked = parse(readSchema, call)
  const source = await openSource(deps, call.caller.nodeId, parseFileUrl(asked.url), asked.offset, call.signal)
  let isDone = false
  const stop = () => source.abort(new Error('the reader has gone'))
  call.signal.addEventListener('abort', stop, { once: true })
  try {
    let at = asked.offset
    for await (const piece of source.bytes) {
      at += piece.length
      for (let from = 0; from < piece.length; from += LOCAL_CHUNK_BYTES_MAX) {
        yield piece.subarray(from, from + LOCAL_CHUNK_BYTES_MAX)
      }
    }
    isDone = true
    const { sizeBytes } = source
    if (at !== sizeBytes) throw new FilesError('failed', `${asked.url} ended at ${at} of ${sizeBytes} bytes`)
    yield { sizeBytes }
  } finally {
    call.signal.removeEventListener('abort', stop)
    if (!isDone) stop()
  }
}

async function* write(deps: RemoteDeps & { readonly clock: Clock }, call: BusCall): AsyncIterable<unknown> {
  const { bus, clock } = deps
  const { url, from } = parse(writeSchema, call)
  const target = await openTarget(deps, call.caller.nodeId, parseFileUrl(url), call.signal)
  let sentBytes = target.offset
  let toldMs = clock.monotonicMs()
  for await (const sent of target.write(pull(bus, from, target.offset, call.signal))) {
    sentBytes = sent
    if (clock.monotonicMs() - toldMs < LOCAL_PROGRESS_MS) continue
    toldMs = clock.monotonicMs()
    yield { sentBytes }
  }
  yield { sentBytes }
}

async function* pull(bus: Bus, from: string, at: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
  for await (const piece of bus.stream(from, { offset: at }, { signal, timeoutMs: CHUNK_TIMEOUT_MS })) {
    if (!(piece instanceof Uint8Array)) throw new FilesError('bad-request', `${from} sent something that is not bytes`)
    yield piece
  }
}

/** Only for this node's own; failures in the words of the module. */
async function* explained(call: BusCall, items: AsyncIterable<unknown>): AsyncIterable<unknown> {
  if (call.caller.kind !== 'local') throw new BusError('bad-request', `${call.address} is for this node itself`)
  try {
    yield* items
  } catch (error) {
    if (call.signal.aborted && error === call.signal.reason) throw error
    throw new ReplyError({ code: error instanceof FilesError ? error.code : 'failed', message: messageOf(error) })
  }
}

function parse<S extends z.ZodType>(schema: S, call: BusCall): z.output<S> {
  const parsed = schema.safeParse(call.body.value())
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new FilesError('bad-request', `${call.address}: ${issue?.path.join('.') || 'value'}: ${issue?.message}`)
}
