import { type Clock, messageOf } from '@emet/core'
import type { ProviderDeps } from './types.ts'

/** How long the withdrawal of an offer may take while the agent stops. */
const WITHDRAW_TIMEOUT_MS = 1_000

/** Withdraws one offer. A failure is logged only: offers expire by themselves. */
export async function withdrawOffer(deps: ProviderDeps, subscriptionId: string): Promise<void> {
  try {
    await within(deps.clock, WITHDRAW_TIMEOUT_MS, (signal) =>
      deps.client.market.deleteOffer({ params: { subscriptionId }, signal }),
    )
  } catch (error) {
    const facts = { offerId: subscriptionId, reason: messageOf(error) }
    deps.logger.debug('an offer could not be withdrawn; it will expire', facts)
  }
}

/**
 * Withdraws all offers of the identity: nobody serves what a former life has left on the market. An identity has one
 * provider agent; another one would publish its offers again.
 */
export async function withdrawLeftOffers(deps: ProviderDeps): Promise<void> {
  const left = await within(deps.clock, WITHDRAW_TIMEOUT_MS, (signal) => deps.client.market.listOffers({ signal }))
  await Promise.all(left.map(({ offerId }) => withdrawOffer(deps, offerId)))
}

async function within<T>(clock: Clock, ms: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController()
  const cancel = clock.setTimer(ms, () => limit.abort(new Error(`no answer within ${ms} ms`)))
  try {
    return await attempt(limit.signal)
  } finally {
    cancel()
  }
}
