/**
 * Places of transfers. Golem: `container:/path`, `http(s)://[user:password@]host/...`, `gftp://0x<node>/<name>`, each
 * perhaps behind `hash:sha3:<hex>:` (`hash://sha3:...` and `0x` before the digits are tolerated). No scheme: container.
 */
import { type NodeId, parseNodeId } from '@emet/core'
import { ExeUnitError } from '../errors.ts'

/** A URL or path. */
export const URL_LENGTH_MAX = 8_192

export type Place =
  | { readonly kind: 'container'; readonly path: string }
  | { readonly kind: 'http'; readonly url: URL }
  | { readonly kind: 'gftp'; readonly nodeId: NodeId; readonly name: string; readonly url: string }

/** A hash that bytes must have. `algorithm` is as Node's crypto names it. */
export type ExpectedHash = { readonly algorithm: string; readonly hex: string }

export type Location = { readonly place: Place; readonly hash: ExpectedHash | undefined }

const HASHED = /^hash:(?:\/\/)?([a-z0-9]+):(?:0x)?([0-9a-f]+):(.*)$/is
const GFTP = /^gftp:(?:\/\/)?(0x[0-9a-f]{40})\/([0-9a-z_-]{1,128})$/i
const SHA3_BITS: Readonly<Record<number, string>> = { 56: 'sha3-224', 64: 'sha3-256', 96: 'sha3-384', 128: 'sha3-512' }

/** Parses a place. Fails with `bad-request`, which names the URL and what is wrong with it. */
export function parseLocation(text: string): Location {
  if (text.length > URL_LENGTH_MAX) throw bad(`${text.slice(0, 80)}...`, `is longer than ${URL_LENGTH_MAX} characters`)
  const hashed = HASHED.exec(text)
  if (!hashed) return { place: parsePlace(text), hash: undefined }
  const [, algorithm = '', hex = '', rest = ''] = hashed
  const name = algorithm.toLowerCase() === 'sha3' ? SHA3_BITS[hex.length] : undefined
  if (name === undefined) throw bad(text, 'has a hash that is not sha3 of 224, 256, 384 or 512 bits')
  return { place: parsePlace(rest), hash: { algorithm: name, hex: hex.toLowerCase() } }
}

function parsePlace(text: string): Place {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase()
  switch (scheme) {
    case undefined:
      return { kind: 'container', path: text }
    case 'container':
      return { kind: 'container', path: text.slice('container:'.length).replace(/^\/\/(?=\/)/, '') }
    case 'http':
    case 'https':
      if (!URL.canParse(text)) throw bad(text, 'is not a URL')
      return { kind: 'http', url: new URL(text) }
    case 'gftp':
      return parseGftp(text)
    default:
      throw bad(text, `has the scheme ${scheme}; transfers know container, gftp, http and https`)
  }
}

function parseGftp(text: string): Place {
  const [, node = '', name = ''] = GFTP.exec(text) ?? []
  const nodeId = parseNodeId(node)
  if (nodeId === undefined) throw bad(text, 'is not gftp://<node id>/<name>')
  return { kind: 'gftp', nodeId, name, url: text }
}

function bad(text: string, why: string): ExeUnitError {
  return new ExeUnitError('bad-request', `${JSON.stringify(text)} ${why}`)
}
