import { CodedError } from '@emet/core'

export type RestServerErrorCode =
  /** The port is taken. */
  | 'address-in-use'
  /** The host is not loopback and `allowRemote` is not set. */
  | 'not-loopback'
  /** Listening failed for another reason. */
  | 'listen-failed'
  /** A route has no handler, or two routes claim the same path. */
  | 'bad-mount'

/** The REST server cannot be built or started. Failures of single requests are `RestError`. */
export class RestServerError extends CodedError<RestServerErrorCode> {}
