import { CodedError } from '@emet/core'

export type BusErrorCode =
  /** Nobody is bound to the address. Its message ends with `endpoint address not found`: peers match on that text. */
  | 'no-endpoint'
  | 'address-taken'
  /** No reply within the caller's time. */
  | 'timeout'
  /** The bus, the socket or the peer went away. */
  | 'closed'
  /** The message cannot be read, or breaks a limit. */
  | 'bad-request'
  | 'too-large'
  /** A limit on calls, queues or registrations is reached. Later it may work. */
  | 'overloaded'
  /** The handler failed with something that is not a `ReplyError`. */
  | 'service-failure'
  /** Another node cannot be reached. */
  | 'unreachable'

/** The message did not get through. */
export class BusError extends CodedError<BusErrorCode> {}

/** The callee's own answer is an error: `data` is what it put in `Err`, for example `{ notFound: 'activity 12..' }`. */
export class ReplyError extends CodedError<'reply-error'> {
  readonly data: unknown

  constructor(data: unknown, message = `the callee answered with an error: ${JSON.stringify(data)}`) {
    super('reply-error', message, { data })
    this.data = data
  }
}
