import { CodedError } from '@emet/core'

export type CliErrorCode =
  | 'bad-setting'
  | 'bad-argument'
  | 'no-daemon'
  | 'no-app-key'
  | 'no-network'
  | 'already-running'
  | 'child-failed'
  | 'not-found'
  /** Ended by the user. */
  | 'interrupted'

/** What the user did, or must do. Printed as one line, without a stack. */
export class CliError extends CodedError<CliErrorCode> {}
