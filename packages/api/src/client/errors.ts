import { CodedError } from '@emet/core'

export type ApiErrorCode =
  /** The daemon answered with a failure; see `status` and `body`. */
  | 'status'
  /** Nothing answers at the address. */
  | 'unreachable'
  /** The connection broke before the answer was whole. */
  | 'broken-off'
  /** The answer is not what the contract says. */
  | 'bad-reply'
  /** What the caller gave does not fit the contract; nothing was sent. */
  | 'bad-request'

/** A call of the REST API that failed. Aborted calls throw the signal's reason instead. */
export class ApiError extends CodedError<ApiErrorCode> {
  /** The HTTP status; undefined when there was no answer. */
  readonly status: number | undefined
  /** The answer's body: parsed when it is JSON, else text. */
  readonly body: unknown
  /** What was called, such as `POST /market-api/v1/demands`. */
  readonly call: string

  constructor(
    code: ApiErrorCode,
    message: string,
    details: { call: string; status?: number; body?: unknown; cause?: unknown },
  ) {
    const { call, status, body, cause } = details
    super(code, message, { call, status, body }, { cause })
    this.call = call
    this.status = status
    this.body = body
  }
}

/** True when `error` is an answer of the daemon with one of the statuses. */
export function hasStatus(error: unknown, ...statuses: number[]): error is ApiError {
  return error instanceof ApiError && error.status !== undefined && statuses.includes(error.status)
}
