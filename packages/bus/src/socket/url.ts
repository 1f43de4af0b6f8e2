import { BusError } from '../errors.ts'

/** Where the router listens. */
export type SocketAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** The longest path of a Unix socket that all systems take. */
export const UNIX_PATH_BYTES_MAX = 103
const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost']
const DEFAULT_PORT = 7464

/**
 * Parses `unix:<path>` or `tcp://127.0.0.1:<port>` (Golem: `GSB_URL`). Throws `BusError` `bad-request`. Only loopback is
 * allowed: who can connect is trusted as a part of this node.
 */
export function parseSocketUrl(url: string): SocketAddress {
  if (url.startsWith('unix:')) {
    const path = url.slice('unix:'.length).replace(/^\/\/(?=\/)/, '')
    if (path.length > 0 && Buffer.byteLength(path) <= UNIX_PATH_BYTES_MAX) return { kind: 'unix', path }
    throw badUrl(url, `the path must have 1 to ${UNIX_PATH_BYTES_MAX} bytes`)
  }
  if (!URL.canParse(url)) throw badUrl(url, 'use unix:<path> or tcp://127.0.0.1:<port>')
  const { protocol, port, hostname } = new URL(url)
  if (protocol !== 'tcp:') throw badUrl(url, 'use unix:<path> or tcp://127.0.0.1:<port>')
  if (!LOOPBACK.includes(hostname)) throw badUrl(url, 'only loopback is allowed: the bus trusts whoever connects')
  return { kind: 'tcp', host: hostname.replace(/[[\]]/g, ''), port: port === '' ? DEFAULT_PORT : Number(port) }
}

/** The options of `net.connect` and `Server.listen`. */
export function socketOptions(address: SocketAddress): { path: string } | { host: string; port: number } {
  return address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }
}

function badUrl(url: string, advice: string): BusError {
  return new BusError('bad-request', `not a bus address: ${JSON.stringify(url)}; ${advice}`, { url })
}
