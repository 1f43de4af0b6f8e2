/** Where the local bus socket is, when nobody says. */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { UNIX_PATH_BYTES_MAX } from '@emet/bus/socket'

const NAME = 'bus.sock'
/** Enough of a digest to tell the data folders of one user apart. */
const DIGEST_LENGTH = 16

/**
 * `bus.sock` in the data folder; when that path is too long for a socket, in a folder of the system's temporary one that
 * belongs to this user alone. The same data folder always gives the same address. Throws when somebody else has made that
 * folder: who can write there could pose as the daemon.
 */
export function defaultBusUrl(dataDir: string, temporary = tmpdir()): string {
  const path = join(resolve(dataDir), NAME)
  if (Buffer.byteLength(path) <= UNIX_PATH_BYTES_MAX) return `unix:${path}`
  const { uid } = userInfo()
  const digest = createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, DIGEST_LENGTH)
  const folder = join(temporary, `emet-${uid}-${digest}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(
      `${folder} is open to other users; remove it, or choose where the bus listens: --bus-url unix:/path`,
    )
  }
  return `unix:${join(folder, NAME)}`
}
