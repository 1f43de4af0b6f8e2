import type { AgreementOperationEvent, InstantUs, ProviderEvent } from '@emet/core'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { ProviderDeps } from './types.ts'

const EVENTS_AT_ONCE = 100

export type FollowInput = { readonly sessionId: string; readonly since: InstantUs; readonly signal: AbortSignal }

/** Hands on every event of our agreements after `since`, until the signal aborts. */
export async function followAgreements(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  { sessionId, since, signal }: FollowInput,
  onEvent: (event: AgreementOperationEvent) => void,
): Promise<void> {
  let afterTimestamp = since
  for (;;) {
    const query = { timeout: options.pollSec, maxEvents: EVENTS_AT_ONCE, afterTimestamp, appSessionId: sessionId }
    const events = await untilDone(deps, 'agreement events', options.retryMs, signal, () =>
      deps.client.market.getAgreementEvents({ query, signal }),
    )
    for (const event of events) {
      onEvent(event)
      afterTimestamp = event.eventDate
    }
  }
}

/** Hands on every request for an activity after `since`, until the signal aborts. */
export async function followActivities(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  { since, signal }: Omit<FollowInput, 'sessionId'>,
  onEvent: (event: ProviderEvent) => Promise<void>,
): Promise<void> {
  let afterTimestamp = since
  for (;;) {
    const query = { timeout: options.pollSec, maxEvents: EVENTS_AT_ONCE, afterTimestamp }
    const events = await untilDone(deps, 'activity events', options.retryMs, signal, () =>
      deps.client.activity
        .getProviderEvents({ query, signal })
        // Golem wire: 408 means that there is nothing yet.
        .catch((error) => (isTimeout(error) ? [] : Promise.reject(error))),
    )
    for (const event of events) {
      await onEvent(event)
      afterTimestamp = event.eventDate
    }
  }
}

const isTimeout = (error: unknown): boolean => error instanceof Error && 'status' in error && error.status === 408
