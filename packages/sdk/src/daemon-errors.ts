import { ApiError, hasStatus } from '@emet/api'
import { messageOf } from '@emet/core'
import { GolemError, type GolemErrorDetails, type Phase } from './errors.ts'

/** An error for whatever was thrown in a phase; a `GolemError` stays what it is. */
export function golemErrorOf(
  thrown: unknown,
  phase: Phase,
  details: Partial<GolemErrorDetails> & { signal?: AbortSignal | undefined } = {},
): GolemError {
  const { signal, ...rest } = details
  if (thrown instanceof GolemError) return thrown
  if (signal?.aborted && thrown === signal.reason) return abortedError(phase, thrown, rest)
  const unreachable = thrown instanceof ApiError && thrown.code === 'unreachable'
  return new GolemError(unreachable ? 'daemon.unreachable' : 'daemon.refused', messageOf(thrown), {
    phase,
    blame: unreachable ? 'user' : 'sdk',
    retryable: unreachable || (thrown instanceof ApiError && (thrown.status ?? 0) >= 500),
    cause: thrown,
    ...rest,
  })
}

/**
 * Whether asking the daemon again would change nothing. Not so when it is away, starts anew, or could not reach the other
 * party.
 */
export const isRefusal = (error: unknown): boolean => hasStatus(error, 400, 401, 403, 404, 409, 410)

/** The caller's signal has aborted. */
export function abortedError(phase: Phase, cause: unknown, details: Partial<GolemErrorDetails> = {}): GolemError {
  if (cause instanceof GolemError) return cause
  return new GolemError('aborted', `aborted while in phase ${phase}`, {
    phase,
    blame: 'user',
    retryable: false,
    cause,
    ...details,
  })
}
