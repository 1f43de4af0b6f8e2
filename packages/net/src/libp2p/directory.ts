/**
 * The directory: relays keep the signed records of the nodes connected to them, and say where a node is. A relay that
 * does not know asks the relays it is connected to itself, once. One request and one answer, JSON, per stream.
 */
import { type AbortOptions, type Clock, type Logger, messageOf, type NodeId, nodeIdSchema } from '@emet/core'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import { NetError } from '../errors.ts'
import { createRateLimit } from '../session/cast.ts'
import type { ByteStream } from '../types.ts'
import { createBook } from './book.ts'
import { nodeIdOfPeer } from './keys.ts'
import { type NodeRecord, openRecord, RECORD_BYTES_MAX } from './record.ts'
import type { RecordTable } from './record-table.ts'
import { toByteStream } from './stream.ts'

/** The directory's protocol name. */
export const DIRECTORY_PROTOCOL = '/emet/directory/1'

/** Requests per second that a relay answers. */
export const DIRECTORY_REQUESTS_PER_SECOND_MAX = 500

/** A request or an answer. */
const MESSAGE_BYTES_MAX = 4 * RECORD_BYTES_MAX

/** Addresses of a relay in an answer. */
const VIA_ADDRESSES_MAX = 8

/** An answer must come within this time. Longer than `TABLE_TIMEOUT_MS`, since the relay may ask others meanwhile. */
export const DIRECTORY_TIMEOUT_MS = 8000

/** A lookup in the table must answer within this time. */
export const TABLE_TIMEOUT_MS = 2000

const base64 = z.string().max(2 * RECORD_BYTES_MAX)
const requestSchema = z.union([
  z.object({ put: base64 }),
  /** `hops`: how many times the question may be passed on. */
  z.object({ find: nodeIdSchema, hops: z.number().int().min(0).max(1) }),
])
const answerSchema = z.object({
  record: base64.optional(),
  /** Addresses of the relay that the node is connected to. */
  via: z.array(z.string().max(256)).max(VIA_ADDRESSES_MAX).optional(),
})
type Request = z.input<typeof requestSchema>
type Answer = z.output<typeof answerSchema>

/** Where a node is, and at which relay it can be reached if not there. */
export type Location = { readonly record: NodeRecord; readonly via: readonly Multiaddr[] }

export type DirectoryDeps = {
  host: Libp2p
  clock: Clock
  logger: Logger
  /** The relays that this node has sessions with. */
  relays(): PeerId[]
  /** The relays' Kademlia table, when this node takes part in it. */
  table?: RecordTable
}

export interface Directory {
  /** Answers others' requests. */
  serve(): Promise<void>
  /** Tells a relay where this node is. */
  publish(relay: PeerId, sealed: Uint8Array): Promise<void>
  /** Asks all relays at once and takes the first answer. */
  find(nodeId: NodeId, options?: AbortOptions): Promise<Location | undefined>
}

export function createDirectory({ host, clock, logger, relays, table }: DirectoryDeps): Directory {
  const book = createBook({ clock, logger, table })
  const mayAsk = createRateLimit(clock, DIRECTORY_REQUESTS_PER_SECOND_MAX)
  const asker = createAsker(host, clock)

  const findHere = (nodeId: NodeId): Answer | undefined => {
    const entry = book.find(nodeId)
    if (!entry) return undefined
    const isHere = host.getConnections(entry.record.peerId).some((connection) => connection.status === 'open')
    const via = isHere ? host.getMultiaddrs().slice(0, VIA_ADDRESSES_MAX).map(String) : []
    return { record: toText(entry.sealed), via }
  }
  const findElsewhere = async (nodeId: NodeId, hops: number, asking: PeerId): Promise<Answer | undefined> => {
    if (hops === 0) return undefined
    const others = relays().filter((relay) => !relay.equals(asking))
    const told = await asker.askAll(others, { find: nodeId, hops: hops - 1 })
    if (told || !table) return told
    const sealed = await asker.withTimeout(TABLE_TIMEOUT_MS, undefined, (signal) => table.get(nodeId, signal))
    return sealed && { record: toText(sealed) }
  }
  const answer = async (request: z.output<typeof requestSchema>, from: PeerId): Promise<Answer> => {
    if ('find' in request) {
      return findHere(request.find) ?? (await findElsewhere(request.find, request.hops, from)) ?? {}
    }
    const sealed = Buffer.from(request.put, 'base64')
    book.keep(sealed, await openRecord(sealed), from)
    return {}
  }
  const onRequest = async (stream: ByteStream, from: PeerId) => {
    try {
      if (!mayAsk()) throw new NetError('busy', 'too many directory requests')
      await sendJson(stream, await answer(requestSchema.parse(await readJson(stream)), from))
    } catch (error) {
      logger.debug('refused a directory request', { peer: nodeIdOfPeer(from), error: messageOf(error) })
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }
  return {
    serve: () =>
      host.handle(DIRECTORY_PROTOCOL, (stream, connection) => onRequest(toByteStream(stream), connection.remotePeer), {
        maxInboundStreams: 64,
      }),
    publish: async (relay, sealed) => {
      await asker.withTimeout(DIRECTORY_TIMEOUT_MS, undefined, (signal) =>
        asker.askRelay(relay, { put: toText(sealed) }, signal),
      )
    },
    find: async (nodeId, options) => {
      const found = await asker.askAll(relays(), { find: nodeId, hops: 1 }, options?.signal)
      if (!found?.record) return undefined
      const record = await openRecord(Buffer.from(found.record, 'base64'))
      if (record.nodeId !== nodeId)
        throw new NetError('not-proven', `a relay answered with another node than ${nodeId}`)
      return { record, via: (found.via ?? []).map((text) => multiaddr(text)) }
    },
  }
}

const toText = (sealed: Uint8Array) => Buffer.from(sealed).toString('base64')

/** Asks relays over the connections that there are. */
function createAsker(host: Libp2p, clock: Clock) {
  const withTimeout = async <T>(
    ms: number,
    outer: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ) => {
    const stop = new AbortController()
    const cancelTimer = clock.setTimer(ms, () => stop.abort(new Error('no answer in time')))
    try {
      return await run(outer ? AbortSignal.any([outer, stop.signal]) : stop.signal)
    } finally {
      cancelTimer()
      // Whoever is still asked need not answer any more.
      stop.abort(new Error('answered already'))
    }
  }
  const askRelay = async (relay: PeerId, request: Request, signal: AbortSignal): Promise<Answer> => {
    const [connection] = host.getConnections(relay)
    if (!connection) throw new NetError('unreachable', `not connected to the relay ${relay}`)
    return ask(connection, request, signal)
  }
  /** The first answer with a record. */
  const askAll = (relays: readonly PeerId[], request: Request, outer?: AbortSignal): Promise<Answer | undefined> =>
    withTimeout(DIRECTORY_TIMEOUT_MS, outer, async (signal) => {
      const answers = relays.map(async (relay) => {
        const answer = await askRelay(relay, request, signal)
        return answer.record ? answer : Promise.reject(new Error('not known'))
      })
      return Promise.any(answers).catch(() => undefined)
    })
  return { withTimeout, askRelay, askAll }
}

async function ask(connection: Connection, request: Request, signal: AbortSignal): Promise<Answer> {
  const stream = toByteStream(await connection.newStream(DIRECTORY_PROTOCOL, { signal, maxOutboundStreams: 64 }))
  const onAbort = () => stream.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await sendJson(stream, request)
    return answerSchema.parse(await readJson(stream))
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

async function sendJson(stream: ByteStream, message: Request | Answer): Promise<void> {
  await stream.write(new TextEncoder().encode(JSON.stringify(message)))
  await stream.finish()
}

async function readJson(stream: ByteStream): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream.source) {
    size += chunk.length
    if (size > MESSAGE_BYTES_MAX)
      throw new NetError('too-large', `a directory message of over ${MESSAGE_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}
