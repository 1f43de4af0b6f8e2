import { type emetFilesApi, RestError, type RouteHandlers } from '@emet/api'
import { FilesError, type FilesErrorCode } from './errors.ts'
import type { Files } from './types.ts'

const STATUSES: Readonly<Record<FilesErrorCode, number>> = {
  'bad-request': 400,
  'not-found': 404,
  changed: 409,
  'not-ready': 409,
  integrity: 502,
  'too-large': 413,
  'disk-full': 507,
  failed: 502,
  limit: 400,
}

async function answer<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof FilesError)) throw error
    throw new RestError(STATUSES[error.code], error.message, { cause: error })
  }
}

/** The files API over the module. */
export function filesRoutes(files: Files): RouteHandlers<typeof emetFilesApi> {
  return {
    publish: ({ caller, body, signal }) => answer(() => files.publish(caller.nodeId, body.path, { signal })),
    receive: ({ caller, body }) => answer(async () => ({ url: await files.receive(caller.nodeId, body.path) })),
    list: ({ caller, query }) =>
      answer(() =>
        files.list(caller.nodeId, query.urls).map((file) => ({
          url: file.url,
          direction: file.direction,
          path: file.path,
          state: file.state,
          sizeBytes: file.sizeBytes,
          transferredBytes: file.transferredBytes,
          sha3: file.sha3,
          message: file.message,
        })),
      ),
    close: ({ caller, query }) =>
      answer(async () => {
        await files.close(caller.nodeId, query.url)
        return null
      }),
    publishContent: ({ caller, body, signal }) => answer(() => files.publishContent(caller.nodeId, body, { signal })),
    getContent: ({ caller, query }) => answer(() => files.content(caller.nodeId, query.url)),
    download: ({ caller, body, signal }) =>
      answer(() => files.download(caller.nodeId, body.url, body.path, { signal })),
    upload: ({ caller, body, signal }) => answer(() => files.upload(caller.nodeId, body.path, body.url, { signal })),
  }
}
