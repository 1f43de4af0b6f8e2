import { CodedError } from '@emet/core'

export type DevChainErrorCode =
  /** The npm package with Anvil for this machine is not installed. */
  | 'no-binary'
  /** Anvil did not come up; the message has its last words. */
  | 'start-failed'
  /** Anvil answered a call with an error, or not at all. */
  | 'rpc'

/** The local chain could not be started or asked. */
export class DevChainError extends CodedError<DevChainErrorCode> {}
