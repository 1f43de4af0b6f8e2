/** Facts that travel with an error: plain data, safe to log and to show. */
export type ErrorFacts = Readonly<Record<string, unknown>>

/**
 * The base of every module's error class. An error is data: a `code` that programs switch on, the `facts`
 * that explain it (ids, limits, the offending value), and the `cause` it grew from.
 *
 * Each module derives one class and closes the union of codes:
 *
 *     export type BusErrorCode = 'no-endpoint' | 'timeout'
 *     export class BusError extends CodedError<BusErrorCode> {}
 */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code
  readonly facts: ErrorFacts

  constructor(code: Code, message: string, facts: ErrorFacts = {}, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.facts = facts
  }
}

/** True when `error` is of the given class and carries one of the given codes. */
export function hasCode<Code extends string>(
  error: unknown,
  type: abstract new (...args: never[]) => CodedError<Code>,
  ...codes: Code[]
): error is CodedError<Code> {
  return error instanceof type && codes.includes(error.code)
}

/** The text of anything that was thrown, for logs and messages. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
