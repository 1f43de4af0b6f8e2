/**
 * What former lives of the agent have left, as the daemon knows it:
 *
 *     agreement Approved     it is served on, unless it is invoiced already (then it is ended)
 *     agreement Terminated   its invoice is made and delivered, unless that was done
 */
import { type Agreement, type DebitNote, fromMs, type InstantUs, type Invoice } from '@emet/core'
import { NEVER_STARTED } from './activity.ts'
import { earliestOf } from './billing.ts'
import type { ProviderDeps } from './types.ts'

/** How far back ended agreements are looked through for bills that were not delivered. */
const UNBILLED_AGE_MS_MAX = 30 * 24 * 3_600_000

export type PastActivity = {
  readonly activityId: string
  readonly standing: 'new' | 'running' | 'ended' | 'never-started'
}

/** What happened under one agreement. */
export type History = {
  readonly activities: readonly PastActivity[]
  /** Oldest first. */
  readonly notes: readonly DebitNote[]
  readonly isInvoiced: boolean
}

/** That of an agreement which was just approved. */
export const NO_HISTORY: History = { activities: [], notes: [], isInvoiced: false }

export type Resumed = { readonly agreement: Agreement; readonly history: History }

/**
 * The agreements that are still to be served, and the instant from which events must be read again. Reading an event
 * twice does no harm.
 */
export async function findRunning(
  deps: ProviderDeps,
  signal: AbortSignal,
): Promise<{ readonly running: Resumed[]; readonly since: InstantUs }> {
  const listed = await deps.client.market.listAgreements({ query: { state: 'Approved' }, signal })
  const ours = listed.filter(({ role }) => role === 'Provider')
  const dates = ours.map(({ timestamp }) => earliestOf(timestamp))
  const since = dates.reduce((earliest, date) => Math.min(earliest, date), fromMs(deps.clock.nowMs()))
  return { running: await readAll(deps, ours, await readBills(deps, since, signal), signal), since }
}

/** The agreements that are over, but whose invoice has not been delivered. */
export async function findUnbilled(deps: ProviderDeps, signal: AbortSignal): Promise<Resumed[]> {
  const afterDate = fromMs(deps.clock.nowMs() - UNBILLED_AGE_MS_MAX)
  const listed = await deps.client.market.listAgreements({ query: { state: 'Terminated', afterDate }, signal })
  const bills = await readBills(deps, earliestOf(afterDate), signal)
  const delivered = bills.invoices.filter(({ status }) => status !== 'ISSUED').map(({ agreementId }) => agreementId)
  const done = new Set(delivered)
  const left = listed.filter(({ id, role }) => role === 'Provider' && !done.has(id))
  const resumed = await readAll(deps, left, bills, signal)
  return resumed.filter(({ history }) => history.activities.length > 0)
}

type Bills = { readonly notes: readonly DebitNote[]; readonly invoices: readonly Invoice[] }

async function readBills({ client }: ProviderDeps, afterTimestamp: InstantUs, signal: AbortSignal): Promise<Bills> {
  const query = { afterTimestamp }
  const [notes, invoices] = await Promise.all([
    client.payment.listDebitNotes({ query, signal }),
    client.payment.listInvoices({ query, signal }),
  ])
  return { notes, invoices: invoices.filter(({ status }) => status !== 'CANCELLED') }
}

async function readAll(
  deps: ProviderDeps,
  entries: readonly { readonly id: string }[],
  bills: Bills,
  signal: AbortSignal,
): Promise<Resumed[]> {
  const resumed: Resumed[] = []
  for (const { id: agreementId } of entries) {
    const agreement = await deps.client.market.getAgreement({ params: { agreementId }, signal })
    const isOfIt = (bill: { readonly agreementId: string }) => bill.agreementId === agreementId
    const history = {
      activities: await readActivities(deps, agreementId, signal),
      notes: bills.notes.filter(isOfIt),
      isInvoiced: bills.invoices.some(isOfIt),
    }
    resumed.push({ agreement, history })
  }
  return resumed
}

async function readActivities({ client }: ProviderDeps, agreementId: string, signal: AbortSignal) {
  const activities: PastActivity[] = []
  for (const activityId of await client.activity.listActivities({ query: { agreementId }, signal })) {
    const { state, reason } = await client.activity.getState({ params: { activityId }, query: {}, signal })
    activities.push({ activityId, standing: standingOf(state[0], reason ?? undefined) })
  }
  return activities
}

function standingOf(state: string, reason: string | undefined): PastActivity['standing'] {
  if (state === 'New') return 'new'
  if (state !== 'Terminated') return 'running'
  return reason === NEVER_STARTED ? 'never-started' : 'ended'
}
