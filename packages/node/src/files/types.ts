/**
 * The nouns of files, what the module needs from others (`FilesDeps`) and what it gives (`Files`).
 */
import type { Bus } from '@emet/bus'
import type { AbortOptions, Clock, InstantUs, Logger, NodeId, Random, Service } from '@emet/core'
import type { Net } from '@emet/net'
import type { Database } from '../store/index.ts'

export type FilesDeps = {
  readonly bus: Bus
  readonly db: Database
  /** The bulk streams. Without it everything goes by messages. */
  readonly net?: Pick<Net, 'openBulk' | 'onBulk'> | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * A URL of this node.
 *
 *     publish    open                                         peers read the file
 *     receive    open -> transferring -> done | failed        one peer writes it
 */
export type FileRecord = {
  /** The last part of the URL: sha3-256 in hex of what is published, or 65 random characters. */
  readonly name: string
  readonly ownerId: NodeId
  readonly direction: 'publish' | 'receive'
  readonly path: string
  /** The bytes are the node's own copy, deleted when the URL is closed. */
  readonly isKept: boolean
  readonly state: 'open' | 'transferring' | 'done' | 'failed'
  readonly sizeBytes: number | null
  readonly sha3: string | null
  /** Of the published file, to notice changes. */
  readonly modifiedMs: number | null
  readonly message: string | null
  readonly createdUs: InstantUs
}

export type PublishedFile = { readonly url: string; readonly sha3: string; readonly sizeBytes: number }
export type FileView = FileRecord & { readonly url: string; readonly transferredBytes: number }

export type TransferOptions = AbortOptions & {
  readonly onProgress?: (transferred: number, total: number | null) => void
}

/** Files by URL. `owner` is the identity of the calling client; a URL belongs to who has made it. */
export interface Files extends Service {
  /** Publishes a file on disk. Publishing the same bytes again gives the same URL. */
  publish(owner: NodeId, path: string, options: AbortOptions): Promise<PublishedFile>
  /** Publishes bytes; the node keeps them until the URL is closed. */
  publishContent(owner: NodeId, content: AsyncIterable<Uint8Array>, options: AbortOptions): Promise<PublishedFile>
  /** Opens a URL that a peer may upload to: to `path`, or to a copy that the node keeps. */
  receive(owner: NodeId, path: string | undefined): Promise<string>
  list(owner: NodeId, urls?: readonly string[]): FileView[]
  /** The bytes behind an own URL. Throws `not-ready` while an upload is under way. */
  content(owner: NodeId, url: string): AsyncIterable<Uint8Array>
  close(owner: NodeId, url: string): Promise<void>
  /** Copies the file behind any `gftp:` URL to `path`. A part that is there already, `path.part`, is continued. */
  download(owner: NodeId, url: string, path: string, options: TransferOptions): Promise<PublishedFile>
  /** Copies a file to a `gftp:` URL that another node has opened. */
  upload(owner: NodeId, path: string, url: string, options: TransferOptions): Promise<PublishedFile>
}
