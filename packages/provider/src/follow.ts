import { hasStatus } from '@emet/api'
import type { AgreementOperationEvent, InstantUs, ProviderEvent } from '@emet/core'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { ProviderDeps } from './types.ts'

const EVENTS_AT_ONCE = 100

export type FollowInput = { readonly sessionId: string; readonly since: InstantUs; readonly signal: AbortSignal }

/** Hands on every event of our agreements after `since`, until the signal aborts. */
export function followAgreements(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  input: FollowInput,
  onEvent: (event: AgreementOperationEvent) => Promise<void>,
): Promise<void> {
  const { sessionId: appSessionId, signal } = input
  const poll = (afterTimestamp: InstantUs) => {
    const query = { timeout: options.pollSec, maxEvents: EVENTS_AT_ONCE, afterTimestamp, appSessionId }
    return deps.client.market.getAgreementEvents({ query, signal })
  }
  return follow(deps, options, input, 'agreement events', poll, onEvent)
}

/** Hands on every request for an activity after `since`, until the signal aborts. */
export function followActivities(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  input: FollowInput,
  onEvent: (event: ProviderEvent) => Promise<void>,
): Promise<void> {
  const { signal } = input
  const poll = (afterTimestamp: InstantUs) => {
    const query = { timeout: options.pollSec, maxEvents: EVENTS_AT_ONCE, afterTimestamp }
    // Golem wire: 408 means that there is nothing yet.
    return deps.client.activity.getProviderEvents({ query, signal }).catch((error): ProviderEvent[] => {
      if (hasStatus(error, 408)) return []
      throw error
    })
  }
  return follow(deps, options, input, 'activity events', poll, onEvent)
}

/** One event that cannot be handled does not hold up the others. */
async function follow<Event extends { readonly eventDate: InstantUs }>(
  deps: ProviderDeps,
  { retryMs }: ParsedProviderOptions,
  { since, signal }: FollowInput,
  what: string,
  poll: (afterTimestamp: InstantUs) => Promise<Event[]>,
  onEvent: (event: Event) => Promise<void>,
): Promise<void> {
  for (let cursor = since; ; ) {
    const events = await untilDone(deps, what, { pauseMs: retryMs }, signal, () => poll(cursor))
    for (const event of events) {
      await onEvent(event).catch((error) => {
        signal.throwIfAborted()
        deps.logger.error('an event could not be handled', { what, event, error })
      })
      cursor = event.eventDate
    }
  }
}
