import { createHash } from 'node:crypto'
import { type Bus, BusError } from '@emet/bus'
import { type Clock, type Logger, messageOf, type Random } from '@emet/core'
import { ExeUnitError } from '../errors.ts'
import { folderSink, folderSource, parseFormat } from './archive.ts'
import { createImageCache } from './cache.ts'
import { containerSink, containerSource } from './container.ts'
import { gftpSink, gftpSource } from './daemon.ts'
import { httpSink, httpSource } from './http.ts'
import type { ProgressListener, Sink, Source, TransferContext, TransferSpec, Transfers } from './types.ts'
import { type ExpectedHash, type Location, type Place, parseLocation } from './url.ts'

/** Golem: two more attempts, after 2 s and 4 s. */
export const RETRY_DELAYS_MS = [2_000, 4_000] as const
/** One transferred file. */
export const TRANSFER_BYTES_MAX = 64 * 2 ** 30
/** One image. */
export const IMAGE_BYTES_MAX = 16 * 2 ** 30

export type TransfersDeps = {
  readonly bus: Bus
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export type TransfersOptions = {
  readonly cacheDir: string
  readonly cacheBytesMax?: number | undefined
  /** Whether web addresses of private networks and of this machine may be used. */
  readonly allowPrivateHosts: boolean
}

type Copy = {
  readonly source: Source
  readonly hash: ExpectedHash | undefined
  readonly bytesMax: number
  readonly signal: AbortSignal
  readonly onProgress: ProgressListener
}

export function createTransfers(deps: TransfersDeps, options: TransfersOptions): Transfers {
  const { clock, logger } = deps
  const cache = createImageCache(deps, { folder: options.cacheDir, bytesMax: options.cacheBytesMax })

  const outsideSource = (place: Exclude<Place, { kind: 'container' }>): Source =>
    place.kind === 'gftp' ? gftpSource(deps, place) : httpSource(place.url, options)
  const sourceOf = ({ place }: Location, spec: TransferSpec, { volumes }: TransferContext): Source => {
    if (place.kind !== 'container') return outsideSource(place)
    if (spec.format === undefined) return containerSource(place.path, volumes)
    return folderSource(place.path, volumes, parseFormat(spec.format), { depth: spec.depth, fileSet: spec.fileSet })
  }
  const sinkOf = ({ place }: Location, spec: TransferSpec, { volumes }: TransferContext): Sink => {
    if (place.kind === 'gftp') return gftpSink(deps, place)
    if (place.kind === 'http') return httpSink(place.url, options)
    if (spec.format === undefined) return containerSink(place.path, volumes)
    return folderSink(place.path, volumes, parseFormat(spec.format))
  }
  /** Golem: pauses between attempts; a failure that cannot pass by itself ends it at once. */
  const retried = async <T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> => {
    for (const delayMs of RETRY_DELAYS_MS) {
      try {
        return await attempt()
      } catch (error) {
        if (signal.aborted || !isRetryable(error)) throw error
        logger.warn('a transfer failed and is tried again', { why: messageOf(error), delayMs })
        await clock.sleep(delayMs, signal)
      }
    }
    return attempt()
  }
  const transfer = async (spec: TransferSpec, context: TransferContext): Promise<void> => {
    const [from, to] = [parseLocation(spec.from), parseLocation(spec.to)]
    if (from.place.kind !== 'container' && to.place.kind !== 'container') {
      throw new ExeUnitError('bad-request', `neither ${spec.from} nor ${spec.to} is in the container`)
    }
    const source = sourceOf(from, spec, context)
    const sink = sinkOf(to, spec, context)
    const { signal, onProgress } = context
    await retried(signal, async () => {
      const size = await source.size(signal)
      const copy = { source, hash: from.hash ?? nameHash(from), bytesMax: TRANSFER_BYTES_MAX, signal, onProgress }
      await sink.write(verified(deps, copy, size), size, signal)
    }).catch((error) => {
      throw told(error, `transfer of ${spec.from} to ${spec.to}`)
    })
  }
  const fetchImage: Transfers['fetchImage'] = async (taskPackage, { signal, onProgress }) => {
    const { place, hash } = parseLocation(taskPackage)
    if (!hash) throw new ExeUnitError('bad-request', `the image ${taskPackage} has no hash: hash:sha3:<hex>:<url>`)
    if (place.kind === 'container')
      throw new ExeUnitError('bad-request', `the image ${taskPackage} is no web or gftp URL`)
    const cached = await cache.find(hash)
    if (cached !== undefined) return { file: cached, isCached: true }
    const source = outsideSource(place)
    const file = await retried(signal, async () => {
      const size = await source.size(signal)
      return cache.store(hash, verified(deps, { source, hash, bytesMax: IMAGE_BYTES_MAX, signal, onProgress }, size))
    }).catch((error) => {
      throw told(error, `fetching the image ${taskPackage}`)
    })
    return { file, isCached: false }
  }
  return { transfer, fetchImage }
}

/** The name of a published gftp file is the hash of its content. */
function nameHash({ place }: Location): ExpectedHash | undefined {
  if (place.kind !== 'gftp' || !/^[0-9a-f]{64}$/i.test(place.name)) return undefined
  return { algorithm: 'sha3-256', hex: place.name.toLowerCase() }
}

/**
 * All bytes of the source, counted and hashed; fails at the end when the hash differs. When the way breaks in the middle
 * it goes on from there, as long as each attempt brings something.
 */
async function* verified(deps: TransfersDeps, copy: Copy, total: number | undefined): AsyncIterable<Uint8Array> {
  const { source, hash: expected, bytesMax, signal, onProgress } = copy
  const hash = expected && createHash(expected.algorithm)
  if ((total ?? 0) > bytesMax) throw tooLarge(bytesMax)
  let at = 0
  onProgress(0, total)
  for (let attemptAt = -1; ; ) {
    try {
      for await (const chunk of source.read(at, signal)) {
        at += chunk.length
        if (at > bytesMax) throw tooLarge(bytesMax)
        if (total !== undefined && at > total) {
          throw new ExeUnitError('integrity', `more bytes came than the ${total} that were announced`)
        }
        hash?.update(chunk)
        onProgress(at, total)
        yield chunk
      }
      break
    } catch (error) {
      if (signal.aborted || at === 0 || at === attemptAt || !isRetryable(error)) throw error
      attemptAt = at
      deps.logger.warn('a transfer broke and goes on', { at, why: messageOf(error) })
      await deps.clock.sleep(RETRY_DELAYS_MS[0], signal)
    }
  }
  const got = hash?.digest('hex')
  if (expected && got !== expected.hex) {
    throw new ExeUnitError('integrity', `hash mismatch: expected ${expected.algorithm} ${expected.hex}, got ${got}`)
  }
}

function isRetryable(error: unknown): boolean {
  if (error instanceof ExeUnitError) return error.facts['isRetryable'] === true
  return error instanceof BusError && ['timeout', 'closed', 'no-endpoint', 'unreachable'].includes(error.code)
}

function tooLarge(bytesMax: number): ExeUnitError {
  return new ExeUnitError('limit', `more than ${bytesMax} bytes, the limit of one transfer`)
}

/** The failure with what was being done, in the module's own terms. */
function told(error: unknown, what: string): ExeUnitError {
  const code = error instanceof ExeUnitError ? error.code : 'transfer-failed'
  return new ExeUnitError(code, `${what} failed: ${messageOf(error)}`, {}, { cause: error })
}
