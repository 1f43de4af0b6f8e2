import { CodedError } from '@emet/core'

export type ActivityErrorCode =
  | 'bad-request'
  | 'not-found'
  | 'forbidden'
  | 'timeout'
  /** The other side, or the exe-unit, answered with a failure of its own. */
  | 'service'
  /** The other side could not be asked. */
  | 'bus'
  /** This node has no record of the activity. */
  | 'unknown-activity'
  /** A change that the states of an activity do not allow. */
  | 'illegal-state'
  /** A limit on activities is reached. */
  | 'limit'

/** What went wrong with an activity. The message names the activity or agreement. */
export class ActivityError extends CodedError<ActivityErrorCode> {}
