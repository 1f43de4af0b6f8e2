/**
 * GFTP with the daemon's help, which has bulk streams to other Emet nodes: `/local/files/Read` brings bytes, and
 * `/local/files/Write` takes them from an address that this process serves meanwhile. A daemon that knows neither (the
 * original one) answers `no-endpoint`; then everything goes by the messages of `gftp.ts`.
 */
import { createHash } from 'node:crypto'
import { type Bus, type BusCall, BusError, ReplyError } from '@emet/bus'
import { type Random, randomHexId } from '@emet/core'
import { z } from 'zod'
import { ExeUnitError } from '../errors.ts'
import { CHUNK_MS_MAX, finishUpload, type GftpPlace, messageSource, sendByMessages } from './gftp.ts'
import type { Sink, Source } from './types.ts'

const READ = '/local/files/Read'
const WRITE = '/local/files/Write'

const wholeNumber = z.union([z.number(), z.bigint()]).transform(Number).pipe(z.int().min(0))
const endSchema = z.object({ sizeBytes: wholeNumber })
const pullSchema = z.object({ offset: wholeNumber })
const failureSchema = z.object({ code: z.string(), message: z.string() })
/** Failures of the daemon that may pass: the network, its limits, a node that is not there yet. */
const PASSING: ReadonlySet<string> = new Set(['failed', 'limit', 'not-found'])

export type GftpDeps = { readonly bus: Bus; readonly random: Random }

/** A file that another node publishes. */
export function gftpSource({ bus }: GftpDeps, place: GftpPlace): Source {
  const byMessages = messageSource(bus, place)
  return {
    size: byMessages.size,
    read: async function* (offset, signal) {
      let hasBegun = false
      try {
        for await (const piece of readThroughDaemon(bus, place, offset, signal)) {
          hasBegun = true
          yield piece
        }
      } catch (error) {
        if (hasBegun || !isUnknownService(error)) throw fromDaemon(error, place)
        yield* byMessages.read(offset, signal)
      }
    },
  }
}

async function* readThroughDaemon(
  bus: Bus,
  { url }: GftpPlace,
  offset: number,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let at = offset
  for await (const item of bus.stream(READ, { url, offset }, { signal, timeoutMs: CHUNK_MS_MAX })) {
    if (item instanceof Uint8Array) {
      at += item.length
      yield item
      continue
    }
    if (endSchema.safeParse(item).data?.sizeBytes === at) return
    throw broken(url, `the end came at ${at} bytes`)
  }
  throw broken(url, `the stream stopped at ${at} bytes`)
}

/** A slot that another node has opened for an upload. */
export function gftpSink({ bus, random }: GftpDeps, place: GftpPlace): Sink {
  return {
    write: async (bytes, _size, signal) => {
      const hash = createHash('sha3-256')
      const hashed = hashing(bytes, hash)
      try {
        await writeThroughDaemon(bus, place, `/local/transfer/${randomHexId(random)}/Read`, hashed, signal)
      } catch (error) {
        if (!isUnknownService(error)) throw fromDaemon(error, place)
        await sendByMessages(bus, place, hashed, signal)
      }
      await finishUpload(bus, place, hash.digest('hex'), signal)
    },
  }
}

async function* hashing(bytes: AsyncIterable<Uint8Array>, hash: { update(bytes: Uint8Array): unknown }) {
  for await (const piece of bytes) {
    hash.update(piece)
    yield piece
  }
}

async function writeThroughDaemon(
  bus: Bus,
  { url }: GftpPlace,
  address: string,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  let failure: unknown
  let isTaken = false
  let isRead = false
  async function* serve(call: BusCall) {
    if (isTaken) throw new BusError('bad-request', `${address} can be read once`)
    isTaken = true
    try {
      yield* from(bytes, pullSchema.parse(call.body.value()).offset)
      isRead = true
    } catch (error) {
      failure = error
      throw error
    }
  }
  const unbind = bus.bind(address, serve)
  try {
    for await (const _progress of bus.stream(WRITE, { url, from: address }, { signal, timeoutMs: CHUNK_MS_MAX })) {
      signal.throwIfAborted()
    }
    if (!isRead) throw broken(url, 'the daemon has not taken everything')
  } catch (error) {
    // What broke here is the cause of what the daemon says.
    throw failure ?? error
  } finally {
    unbind()
  }
}

/** The bytes without the first `offset`: what the other side has already. */
async function* from(bytes: AsyncIterable<Uint8Array>, offset: number): AsyncIterable<Uint8Array> {
  let skip = offset
  for await (const piece of bytes) {
    if (skip < piece.length) yield piece.subarray(skip)
    skip = Math.max(skip - piece.length, 0)
  }
}

function isUnknownService(error: unknown): boolean {
  return error instanceof BusError && error.code === 'no-endpoint'
}

function fromDaemon(error: unknown, { url }: GftpPlace): unknown {
  if (!(error instanceof ReplyError)) return error
  const { code = 'failed', message = String(error.data) } = failureSchema.safeParse(error.data).data ?? {}
  const facts = { isRetryable: PASSING.has(code), daemonCode: code }
  return new ExeUnitError('transfer-failed', `${url}: ${message}`, facts, { cause: error })
}

function broken(url: string, why: string): ExeUnitError {
  return new ExeUnitError('transfer-failed', `${url}: ${why}`, { isRetryable: true })
}
