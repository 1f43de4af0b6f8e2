import { CodedError } from '@emet/core'

export type ExeUnitErrorCode =
  /** The message, script, agreement, option or URL is wrong. */
  | 'bad-request'
  /** The caller may not do this. */
  | 'forbidden'
  /** No such batch, command, volume or file. */
  | 'not-found'
  /** The command is not allowed in the activity's present state. */
  | 'bad-state'
  /** Another command is changing the state. */
  | 'busy'
  /** Bytes do not have the promised hash. */
  | 'integrity'
  /** A path leads out of the activity's folder. */
  | 'path-escape'
  /** A limit of this machine or of the agreement was met. */
  | 'limit'
  /** A transfer failed on the way: network, remote side, disk. */
  | 'transfer-failed'
  /** The activity is being terminated. */
  | 'stopped'

/** A failure of the supervisor or of a transfer. `facts.isRetryable` is true when trying again may help. */
export class ExeUnitError extends CodedError<ExeUnitErrorCode> {}

export type RuntimeErrorCode =
  /** This machine cannot run this runtime; the message says what to install or to allow. */
  | 'unavailable'
  /** The image is not what the runtime takes. */
  | 'bad-image'
  /** The entry point, path, argument or volume is wrong. */
  | 'bad-request'
  /** The instance has stopped. */
  | 'stopped'
  /** More commands at once than `capabilities.commandsAtOnceMax`. */
  | 'too-many-commands'
  /** The runtime itself failed. */
  | 'failed'

/** A failure of a runtime. What the guest program does wrong is never an error: see `CommandEnd`. */
export class RuntimeError extends CodedError<RuntimeErrorCode> {}
