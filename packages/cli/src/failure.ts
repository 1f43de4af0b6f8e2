/** How a failure is told: one headline, then who has to act, what it cost, what to do, and what was tried. */
import { CodedError, formatAmount, messageOf } from '@emet/core'
import { type Blame, type GolemError, isGolemError } from '@emet/sdk'

/** Lines of what was tried that are shown; the last ones count. */
const TRANSCRIPT_LINES_SHOWN = 6

const BLAMES: Readonly<Record<Blame, string>> = {
  user: 'what was asked for',
  provider: 'the provider',
  network: 'the network',
  chain: 'the chain',
  sdk: 'Emet',
}

/** A failure for people: the first line says what has happened. */
export function tellFailure(thrown: unknown): string {
  const error = causeOf(thrown)
  if (isGolemError(error)) return tellGolemError(error)
  if (error instanceof CodedError || (error instanceof Error && 'status' in error)) return messageOf(error)
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function tellGolemError(error: GolemError): string {
  const { summary, blame, phase, costSoFar, hint, transcript } = error
  const shown = transcript
    .filter((line) => !line.includes(summary) || transcript.length > 1)
    .slice(-TRANSCRIPT_LINES_SHOWN)
  const more = transcript.length - shown.length
  return [
    summary,
    `  fault   ${BLAMES[blame]} (phase ${phase})`,
    `  spent   ${formatAmount(costSoFar)} GLM`,
    ...(hint === undefined ? [] : [`  hint    ${hint}`]),
    ...shown.map((line, at) => `  ${at === 0 ? 'before' : '      '}  ${line}`),
    ...(shown.length > 0 && more > 0 ? [`          (${more} earlier lines left out)`] : []),
  ].join('\n')
}

/** A failure for programs, as one JSON object. Amounts are texts in wei. */
export function failureRecord(thrown: unknown): Record<string, unknown> {
  const error = causeOf(thrown)
  const code = error instanceof CodedError ? error.code : null
  if (!isGolemError(error)) return { error: { code, message: messageOf(error) } }
  const { summary: message, phase, blame, retryable, costSoFar, providerId = null, hint = null, transcript } = error
  return { error: { code, message, phase, blame, retryable, costSoFar, providerId, hint, transcript } }
}

/** What went wrong first, when cleaning up has failed as well. */
function causeOf(thrown: unknown): unknown {
  return thrown instanceof SuppressedError ? causeOf(thrown.suppressed) : thrown
}
