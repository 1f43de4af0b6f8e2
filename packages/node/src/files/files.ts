import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromMs, type NodeId, randomHexId, type Unregister } from '@emet/core'
import { serveBulk } from './bulk.ts'
import { checkPath, createHandleCache, fingerprint, readFrom } from './disk.ts'
import { FilesError, fromDiskError } from './errors.ts'
import { serveGftp } from './gftp.ts'
import { serveLocal } from './local.ts'
import { FILES_MAX, type FilesOptions, filesOptionsSchema } from './options.ts'
import { createShelf, partOf } from './shelf.ts'
import { createFileStore } from './store.ts'
import { downloadFile, saveContent, uploadFile } from './transfer.ts'
import type { FileRecord, Files, FilesDeps, PublishedFile } from './types.ts'
import { formatFileUrl, parseFileUrl, randomUploadName } from './url.ts'

/** Files of this node, for its clients and for peers. */
export function createFiles(deps: FilesDeps, given: Pick<FilesOptions, 'folder'> & Partial<FilesOptions>): Files {
  const options = filesOptionsSchema.parse(given)
  const { clock, logger } = deps
  const store = createFileStore(deps.db)
  const handles = createHandleCache(clock)
  const shelf = createShelf(store, handles, options)
  const serving: Unregister[] = []

  const add = (
    file: Pick<FileRecord, 'name' | 'ownerId' | 'direction' | 'path' | 'isKept'> & Partial<FileRecord>,
  ): void => {
    if (store.count() >= FILES_MAX) {
      throw new FilesError('limit', `${FILES_MAX} URLs are open; close some (DELETE /emet/v1/files?url=...)`)
    }
    const blank = { state: 'open', sizeBytes: null, sha3: null, modifiedMs: null, message: null } as const
    store.put({ ...blank, createdUs: fromMs(clock.nowMs()), ...file })
  }
  const own = (owner: NodeId, url: string): FileRecord => {
    const { nodeId, name } = parseFileUrl(url)
    const record = nodeId === owner ? store.get(owner, name) : undefined
    if (record) return record
    throw new FilesError('not-found', `${url.slice(0, 300)} is not a URL of ${owner}, or it was closed`)
  }
  const publishPath = async (
    owner: NodeId,
    path: string,
    isKept: boolean,
    signal: AbortSignal | undefined,
  ): Promise<PublishedFile> => {
    const { sha3, sizeBytes, modifiedMs } = await fingerprint(path, { signal })
    const before = store.get(owner, sha3)
    if (before) await shelf.forget({ ...before, isKept: before.isKept && before.path !== path })
    add({ name: sha3, ownerId: owner, direction: 'publish', path, isKept, sizeBytes, sha3, modifiedMs })
    return { url: formatFileUrl({ nodeId: owner, name: sha3 }), sha3, sizeBytes }
  }
  const publishContent: Files['publishContent'] = async (owner, content, { signal }) => {
    await mkdir(options.folder, { recursive: true })
    const incoming = join(options.folder, `${randomHexId(deps.random)}.incoming`)
    const { sha3 } = await saveContent(incoming, content, { signal, fileBytesMax: options.fileBytesMax })
    const path = join(options.folder, `${owner}-${sha3}`)
    await rename(incoming, path).catch((error) => {
      throw fromDiskError(error, path)
    })
    return publishPath(owner, path, true, signal)
  }
  const receive: Files['receive'] = async (owner, given) => {
    const name = randomUploadName(deps.random)
    const path = given === undefined ? join(options.folder, name) : checkPath(given)
    if (given !== undefined && (await stat(path).catch(() => undefined))?.isDirectory()) {
      throw new FilesError('bad-request', `path: ${path} is a folder; give the path of a file`)
    }
    add({ name, ownerId: owner, direction: 'receive', path, isKept: given === undefined })
    return formatFileUrl({ nodeId: owner, name })
  }
  /** Removes what a crash has left: uploads of REST clients that were under way, copies whose URL is gone. */
  const sweep = async (): Promise<void> => {
    await mkdir(options.folder, { recursive: true, mode: 0o700 })
    const wanted = new Set(store.keptPaths().flatMap((path) => [path, partOf(path)]))
    for (const entry of await readdir(options.folder)) {
      const path = join(options.folder, entry)
      if (!wanted.has(path)) await rm(path, { force: true, recursive: true })
    }
  }
  return {
    publish: async (owner, path, { signal }) => publishPath(owner, checkPath(path), false, signal),
    publishContent,
    receive,
    list: (owner, urls) =>
      store
        .list(owner)
        .map((record) => ({
          ...record,
          url: formatFileUrl({ nodeId: owner, name: record.name }),
          transferredBytes: shelf.transferred(record.name),
        }))
        .filter(({ url }) => urls === undefined || urls.includes(url)),
    content: (owner, url) => {
      const record = own(owner, url)
      if (record.direction === 'receive' && record.state !== 'done') {
        const why = record.message ?? `the upload is ${record.state}`
        throw new FilesError('not-ready', `${url}: ${why}; wait until its state is done`)
      }
      return readFrom(record.path, 0)
    },
    close: async (owner, url) => {
      const record = own(owner, url)
      store.remove(owner, record.name)
      await shelf.forget(record)
    },
    download: async (owner, url, path, transfer) =>
      downloadFile(deps, owner, parseFileUrl(url), checkPath(path), {
        ...transfer,
        fileBytesMax: options.fileBytesMax,
      }),
    upload: async (owner, path, url, transfer) => uploadFile(deps, owner, checkPath(path), parseFileUrl(url), transfer),
    start: async () => {
      if (serving.length > 0) return
      await sweep()
      serving.push(serveGftp(deps.bus, shelf), serveLocal(deps))
      if (deps.net) serving.push(serveBulk(deps.net, shelf, logger))
    },
    stop: async () => {
      for (const end of serving.splice(0)) end()
      await handles.dropAll()
    },
  }
}
