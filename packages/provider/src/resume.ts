import { type Agreement, fromMs, type InstantUs } from '@emet/core'
import type { ProviderDeps } from './types.ts'

export type Resumed = {
  readonly agreement: Agreement
  /** Its activities that have ended, and what was billed for each. */
  readonly past: readonly { readonly activityId: string; readonly amount: bigint }[]
}

/**
 * The agreements of a former life of the agent that are still to be served, and the instant from which events must be
 * read again. Reading an event twice does no harm.
 */
export async function findUnfinished(
  deps: ProviderDeps,
  signal: AbortSignal,
): Promise<{ rentals: Resumed[]; since: InstantUs }> {
  const { client, clock } = deps
  const listed = await client.market.listAgreements({ query: { state: 'Approved' }, signal })
  const ours = listed.filter(({ role }) => role === 'Provider')
  const since = ours.reduce((earliest, { timestamp }) => Math.min(earliest, timestamp), fromMs(clock.nowMs()))
  const rentals: Resumed[] = []
  for (const { id } of ours) {
    const agreement = await client.market.getAgreement({ params: { agreementId: id }, signal })
    rentals.push({ agreement, past: await endedActivities(deps, id, signal) })
  }
  return { rentals, since }
}

async function endedActivities({ client }: ProviderDeps, agreementId: string, signal: AbortSignal) {
  const notes = await client.payment.listDebitNotes({ query: {}, signal })
  const past: { activityId: string; amount: bigint }[] = []
  for (const activityId of await client.activity.listActivities({ query: { agreementId }, signal })) {
    const { state } = await client.activity.getState({ params: { activityId }, query: {}, signal })
    if (state[0] !== 'Terminated') continue
    const billed = notes.filter((note) => note.activityId === activityId).map((note) => note.totalAmountDue)
    past.push({ activityId, amount: billed.reduce((most, one) => (one > most ? one : most), 0n) })
  }
  return past
}
