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
import { nodeIdOfPeer } from './keys.ts'
import { type NodeRecord, openRecord, RECORD_BYTES_MAX } from './record.ts'
import { toByteStream } from './stream.ts'

/** The directory's protocol name. */
export const DIRECTORY_PROTOCOL = '/emet/directory/1'

/** Records that a relay keeps; the oldest go first. */
export const RECORDS_MAX = 50_000

/** How long a relay keeps a record that is not renewed. */
export const RECORD_LIFETIME_MS = 30 * 60_000

/** Requests per second that a relay answers. */
export const DIRECTORY_REQUESTS_PER_SECOND_MAX = 500

/** A request or an answer. */
const MESSAGE_BYTES_MAX = 4 * RECORD_BYTES_MAX

/** Addresses of a relay in an answer. */
const VIA_ADDRESSES_MAX = 8

/** An answer must come within this time. */
export const DIRECTORY_TIMEOUT_MS = 5000

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
}

export interface Directory {
  /** Answers others' requests. */
  serve(): Promise<void>
  /** Tells a relay where this node is. */
  publish(relay: PeerId, sealed: Uint8Array): Promise<void>
  /** Asks all relays at once and takes the first answer. */
  find(nodeId: NodeId, options?: AbortOptions): Promise<Location | undefined>
}

type Kept = { sealed: Uint8Array; record: NodeRecord; untilMs: number }

export function createDirectory({ host, clock, logger, relays }: DirectoryDeps): Directory {
  const kept = new Map<NodeId, Kept>()
  const mayAsk = createRateLimit(clock, DIRECTORY_REQUESTS_PER_SECOND_MAX)

  const keep = (sealed: Uint8Array, record: NodeRecord, from: PeerId) => {
    if (!record.peerId.equals(from)) throw new NetError('not-proven', 'a node may publish its own record only')
    const known = kept.get(record.nodeId)
    if (known && known.record.sequence > record.sequence) return
    kept.delete(record.nodeId)
    kept.set(record.nodeId, { sealed, record, untilMs: clock.monotonicMs() + RECORD_LIFETIME_MS })
    const [oldest] = kept.keys()
    if (kept.size > RECORDS_MAX && oldest) kept.delete(oldest)
  }
  const findHere = (nodeId: NodeId): Answer | undefined => {
    const entry = kept.get(nodeId)
    if (!entry) return undefined
    if (entry.untilMs < clock.monotonicMs()) return void kept.delete(nodeId)
    const isHere = host.getConnections(entry.record.peerId).some((connection) => connection.status === 'open')
    const via = isHere ? host.getMultiaddrs().slice(0, VIA_ADDRESSES_MAX).map(String) : []
    return { record: Buffer.from(entry.sealed).toString('base64'), via }
  }
  const askRelay = async (relay: PeerId, request: Request, signal: AbortSignal): Promise<Answer> => {
    const connection = host.getConnections(relay)[0]
    if (!connection) throw new NetError('unreachable', `not connected to the relay ${relay}`)
    return ask(connection, request, signal)
  }
  const askAll = async (nodeId: NodeId, hops: number, except: PeerId | undefined, outer?: AbortSignal) => {
    const stop = new AbortController()
    const cancelTimer = clock.setTimer(DIRECTORY_TIMEOUT_MS, () => stop.abort(new Error('no answer in time')))
    const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal
    const asked = relays().filter((relay) => !except || !relay.equals(except))
    const answers = asked.map(async (relay) => {
      const answer = await askRelay(relay, { find: nodeId, hops }, signal)
      return answer.record ? answer : Promise.reject(new Error('not known'))
    })
    try {
      return await Promise.any(answers)
    } catch {
      return undefined
    } finally {
      cancelTimer()
      stop.abort(new Error('answered'))
    }
  }
  const answer = async (request: z.output<typeof requestSchema>, from: PeerId): Promise<Answer> => {
    if ('find' in request) {
      const here = findHere(request.find)
      return here ?? ((request.hops > 0 && (await askAll(request.find, request.hops - 1, from))) || {})
    }
    const sealed = Buffer.from(request.put, 'base64')
    keep(sealed, await openRecord(sealed), from)
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
      const stop = new AbortController()
      const cancelTimer = clock.setTimer(DIRECTORY_TIMEOUT_MS, () => stop.abort(new Error('no answer in time')))
      try {
        await askRelay(relay, { put: Buffer.from(sealed).toString('base64') }, stop.signal)
      } finally {
        cancelTimer()
      }
    },
    find: async (nodeId, options) => {
      const found = await askAll(nodeId, 1, undefined, options?.signal)
      if (!found?.record) return undefined
      const record = await openRecord(Buffer.from(found.record, 'base64'))
      if (record.nodeId !== nodeId)
        throw new NetError('not-proven', `a relay answered with another node than ${nodeId}`)
      return { record, via: (found.via ?? []).map((text) => multiaddr(text)) }
    },
  }
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
