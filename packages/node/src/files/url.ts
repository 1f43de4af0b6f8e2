import { type NodeId, parseNodeId, type Random } from '@emet/core'
import { FilesError } from './errors.ts'

/** A parsed `gftp://<node id>/<name>`. */
export type FileUrl = { readonly nodeId: NodeId; readonly name: string }

const URL_FORM = /^gftp:\/\/(0x[0-9a-fA-F]{40})\/([0-9a-zA-Z_-]{1,128})$/
/** Golem wire: names of uploads are so many random alphanumerics. */
const UPLOAD_NAME_LENGTH = 65
const ALPHANUMERICS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Parses a URL. Throws `bad-request`. */
export function parseFileUrl(url: string): FileUrl {
  const [, node = '', name = ''] = URL_FORM.exec(url) ?? []
  const nodeId = parseNodeId(node)
  if (nodeId) return { nodeId, name }
  throw new FilesError('bad-request', `not gftp://<node id>/<name>: ${JSON.stringify(url.slice(0, 200))}`)
}

/** The URL's text. */
export function formatFileUrl({ nodeId, name }: FileUrl): string {
  return `gftp://${nodeId}/${name}`
}

/** A name nobody can guess: 65 characters of 62, 387 bits. */
export function randomUploadName(random: Random): string {
  let name = ''
  while (name.length < UPLOAD_NAME_LENGTH) {
    for (const byte of random.bytes(UPLOAD_NAME_LENGTH)) {
      // 248 = 4 * 62: bytes above it would favour some characters.
      if (byte < 248 && name.length < UPLOAD_NAME_LENGTH) name += ALPHANUMERICS[byte % 62]
    }
  }
  return name
}
