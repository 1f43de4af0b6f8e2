import { CodedError } from '@emet/core'

export type FilesErrorCode =
  | 'bad-request'
  /** No such file on disk, or nothing behind the URL. */
  | 'not-found'
  /** The file is no longer what was published. */
  | 'changed'
  /** The upload has not finished yet. */
  | 'not-ready'
  /** What has come is not what was announced. */
  | 'integrity'
  | 'too-large'
  | 'disk-full'
  /** The disk, or the other node, failed. */
  | 'failed'
  /** A limit on files is reached. */
  | 'limit'

/** What went wrong with a file. The message names the URL or path. */
export class FilesError extends CodedError<FilesErrorCode> {}

/** An error of the file system as one of ours. */
export function fromDiskError(error: unknown, path: string): FilesError {
  if (error instanceof FilesError) return error
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const facts = { path, code }
  if (code === 'ENOENT' || code === 'ENOTDIR') return new FilesError('not-found', `there is no file ${path}`, facts)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new FilesError('disk-full', `the disk is full; free space for ${path}`, facts)
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EISDIR') {
    return new FilesError('bad-request', `${path} cannot be used: ${String(code)}; check its permissions`, facts)
  }
  return new FilesError('failed', `${path}: ${error instanceof Error ? error.message : String(error)}`, facts)
}
