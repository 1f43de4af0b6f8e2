import { CodedError } from '@emet/core'

export type StoreErrorCode =
  /** Another daemon has this data folder open. */
  | 'locked'
  /** The file was written by a newer Emet. */
  | 'newer-schema'
  | 'disk-full'
  | 'read-only'
  | 'corrupt'
  | 'failed'

/** The database refused. Nothing of the statement or transaction was kept. */
export class StoreError extends CodedError<StoreErrorCode> {}
