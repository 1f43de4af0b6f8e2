import { CodedError } from '@emet/core'

/** Where in the life of a rental something went wrong. */
export type Phase = 'connect' | 'find' | 'negotiate' | 'deploy' | 'start' | 'run' | 'transfer' | 'finish' | 'payment'

/** Who has to act for it to go better. */
export type Blame = 'user' | 'provider' | 'network' | 'chain' | 'sdk'

export type GolemErrorCode =
  /** The daemon does not answer, or refused a call. */
  | 'daemon.unreachable'
  | 'daemon.refused'
  /** The specification cannot be used as it is. */
  | 'spec.invalid'
  /** The image is not what the runtime takes, is not there, or has another hash. */
  | 'image.invalid'
  /** Nothing on the market fits; or what fits is too dear; or nobody signed. */
  | 'market.no-offers'
  | 'market.too-dear'
  | 'market.no-agreement'
  | 'allocation.failed'
  | 'agreement.rejected'
  | 'agreement.terminated'
  | 'activity.failed'
  | 'activity.lost'
  | 'deploy.failed'
  | 'deploy.slow'
  | 'start.failed'
  | 'start.slow'
  /** A program ended with another code than 0; was killed; took too long. */
  | 'command.failed'
  /** There is no such entry point, or its arguments cannot be used. */
  | 'command.invalid'
  | 'command.killed'
  | 'command.slow'
  | 'transfer.failed'
  /** The budget is used up, and the rental was ended for it. */
  | 'budget.exhausted'
  /** Unused for longer than `limits.idle`. */
  | 'rental.idle'
  | 'rental.closed'
  | 'payment.failed'
  /** The caller's signal. */
  | 'aborted'

export type GolemErrorDetails = {
  readonly phase: Phase
  readonly blame: Blame
  /** Whether the same call may work when tried again, perhaps with another provider. */
  readonly retryable: boolean
  /** What has been accepted for payment so far for the rental, in wei. */
  readonly costSoFar?: bigint
  readonly providerId?: string
  /** What to do now. */
  readonly hint?: string
  readonly cause?: unknown
  /** What was tried, in order. */
  readonly transcript?: readonly string[]
  readonly facts?: Readonly<Record<string, unknown>>
}

/** Anything that goes wrong in the SDK. */
export class GolemError extends CodedError<GolemErrorCode> {
  readonly phase: Phase
  readonly blame: Blame
  readonly retryable: boolean
  readonly costSoFar: bigint
  readonly providerId: string | undefined
  readonly hint: string | undefined
  readonly transcript: readonly string[]
  /** The message without the hint. */
  readonly summary: string

  constructor(code: GolemErrorCode, message: string, details: GolemErrorDetails) {
    const { phase, blame, retryable, costSoFar = 0n, providerId, hint, cause, transcript = [], facts } = details
    super(code, hint ? `${message}. ${hint}` : message, { phase, providerId, ...facts }, { cause })
    this.phase = phase
    this.blame = blame
    this.retryable = retryable
    this.costSoFar = costSoFar
    this.providerId = providerId
    this.hint = hint
    this.transcript = transcript
    this.summary = message
  }
}

/** The same error with other details. */
export function amendGolemError(error: GolemError, details: Partial<GolemErrorDetails>): GolemError {
  const { code, summary, phase, blame, retryable, costSoFar, providerId, hint, cause, facts, transcript } = error
  return new GolemError(code, summary, {
    ...{ phase, blame, retryable, costSoFar, cause, facts, transcript },
    ...(providerId === undefined ? {} : { providerId }),
    ...(hint === undefined ? {} : { hint }),
    ...details,
  })
}

/** True when `error` is a GolemError, with one of the codes if any are given. */
export function isGolemError(error: unknown, ...codes: GolemErrorCode[]): error is GolemError {
  return error instanceof GolemError && (codes.length === 0 || codes.includes(error.code))
}
