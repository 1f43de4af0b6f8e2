/**
 * HTTP transfers: GET with redirects and ranges, PUT in a stream. The status is always checked. A requestor must not
 * reach what only the provider's machine can: addresses that are not public are refused unless the provider allows them,
 * and they are checked when the connection is made, so that a name cannot change its mind.
 */

import { type LookupAddress, lookup as resolve } from 'node:dns'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '@emet/core'
import { ExeUnitError } from '../errors.ts'
import type { Sink, Source } from './types.ts'

/** Golem: as the existing exe-unit. */
export const REDIRECTS_MAX = 10
/** How long a server may be silent. */
export const SILENCE_MS_MAX = 60_000

export type HttpOptions = { readonly allowPrivateHosts: boolean }

/** Addresses that are not of the public network. */
const PRIVATE = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of [
  ['::', 127],
  ['64:ff9b::', 96],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv6')
}

/** Whether an address belongs to a private, local or special network. */
export function isPrivateAddress(address: string): boolean {
  return PRIVATE.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** A file on a web server. */
export function httpSource(url: URL, options: HttpOptions): Source {
  let known: number | undefined
  return {
    size: async (signal) => {
      const response = await follow(url, { method: 'HEAD' }, options, signal).catch(() => undefined)
      response?.resume()
      // Some servers do not know HEAD; then the size comes with the bytes.
      known = response?.statusCode === 200 ? lengthOf(response) : undefined
      return known
    },
    read: async function* (offset, signal) {
      const headers = offset > 0 ? { range: `bytes=${offset}-` } : {}
      const response = await follow(url, { method: 'GET', headers }, options, signal)
      try {
        const wanted = offset > 0 ? 206 : 200
        if (response.statusCode !== wanted) throw wrongStatus(url, 'GET', response)
        yield* response as AsyncIterable<Uint8Array>
        if (!response.complete) throw broken(url, 'the server closed the connection in the middle')
      } catch (error) {
        throw error instanceof ExeUnitError ? error : broken(url, messageOf(error))
      } finally {
        response.destroy()
      }
    },
  }
}

/** A place on a web server that takes a PUT. */
export function httpSink(url: URL, options: HttpOptions): Sink {
  return {
    write: async (bytes, size, signal) => {
      const headers: Record<string, string> = size === undefined ? {} : { 'content-length': String(size) }
      const request = open(url, { method: 'PUT', headers }, options, signal)
      const answered = answerOf(request, url)
      answered.catch(() => {})
      let readError: unknown
      const counted = watchErrors(bytes, (error) => {
        readError = error
      })
      // A server may answer and close before it has read everything: its answer counts, unless our own side broke.
      await pipeline(Readable.from(counted), request).catch(() => {})
      if (readError !== undefined) throw readError
      const response = await answered
      response.resume()
      const status = response.statusCode ?? 0
      if (status < 200 || status > 299) throw wrongStatus(url, 'PUT', response)
    },
  }
}

async function* watchErrors(bytes: AsyncIterable<Uint8Array>, onError: (error: unknown) => void) {
  try {
    yield* bytes
  } catch (error) {
    onError(error)
    throw error
  }
}

type RequestOptions = { readonly method: string; readonly headers?: Record<string, string> }

async function follow(url: URL, request: RequestOptions, options: HttpOptions, signal: AbortSignal) {
  let at = url
  for (let hops = 0; hops <= REDIRECTS_MAX; hops++) {
    const opened = open(at, request, options, signal)
    opened.end()
    const response = await answerOf(opened, at)
    const { location } = response.headers
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response
    response.resume()
    at = redirected(at, location)
  }
  throw new ExeUnitError('transfer-failed', `${nameOf(url)}: more than ${REDIRECTS_MAX} redirects`)
}

function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  if (to?.protocol === 'http:' || to?.protocol === 'https:') return to
  throw new ExeUnitError('transfer-failed', `${nameOf(from)} redirects to ${location}, which is no web address`)
}

function open(url: URL, { method, headers }: RequestOptions, options: HttpOptions, signal: AbortSignal): ClientRequest {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (!options.allowPrivateHosts && isIP(host) && isPrivateAddress(host)) throw refused(url, host)
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  const auth = url.username ? { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` } : {}
  const lookup = options.allowPrivateHosts ? {} : { lookup: publicLookup(url) }
  return request(url, {
    method,
    headers: { 'accept-encoding': 'identity', ...headers },
    signal,
    timeout: SILENCE_MS_MAX,
    agent: false,
    ...auth,
    ...lookup,
  })
}

function answerOf(request: ClientRequest, url: URL): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve)
    request.once('timeout', () => request.destroy(new Error(`no byte for ${SILENCE_MS_MAX} ms`)))
    request.on('error', (error) => reject(error instanceof ExeUnitError ? error : broken(url, messageOf(error))))
  })
}

function publicLookup(url: URL): LookupFunction {
  return (hostname, wanted, callback) => {
    resolve(hostname, { ...wanted, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, [])
      const found = addresses.filter(({ address }) => !isPrivateAddress(address))
      const [first] = found
      if (!first) return callback(refused(url, hostname), [])
      if (wanted.all) return callback(null, found)
      callback(null, first.address, first.family)
    })
  }
}

function lengthOf(response: IncomingMessage): number | undefined {
  const length = Number(response.headers['content-length'] ?? Number.NaN)
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

/** The URL without its user and password. */
function nameOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`
}

function wrongStatus(url: URL, method: string, { statusCode = 0 }: IncomingMessage): ExeUnitError {
  const isRetryable = statusCode >= 500
  return new ExeUnitError('transfer-failed', `${method} ${nameOf(url)} answered ${statusCode}`, {
    statusCode,
    isRetryable,
  })
}

function broken(url: URL, why: string): ExeUnitError {
  return new ExeUnitError('transfer-failed', `${nameOf(url)}: ${why}`, { isRetryable: true })
}

function refused(url: URL, host: string): ExeUnitError {
  const hint = 'the provider allows transfers with public addresses only'
  return new ExeUnitError('forbidden', `${nameOf(url)}: ${host} is not on the public network; ${hint}`)
}
