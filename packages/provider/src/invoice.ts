import { fromMs, type InstantUs, type Invoice } from '@emet/core'
import { earliestOf, INVOICE_DUE_SEC } from './billing.ts'
import { DELIVERY_PATIENCE, type ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { ProviderDeps } from './types.ts'

export type InvoiceInput = {
  readonly agreementId: string
  /** When the agreement was made. */
  readonly madeAt: InstantUs
  readonly activityIds: readonly string[]
  readonly amount: bigint
  readonly paymentTimeoutSec: number | undefined
}

/** Makes the invoice of an agreement, unless it exists, and delivers it, unless that is done. Tries until it works. */
export async function deliverInvoice(
  deps: ProviderDeps,
  { retryMs }: ParsedProviderOptions,
  input: InvoiceInput,
  signal: AbortSignal,
): Promise<void> {
  const { client, logger } = deps
  const patience = { pauseMs: retryMs }
  const invoice = await untilDone(deps, 'invoice', patience, signal, () => issueOnce(deps, input, signal))
  const { agreementId, invoiceId, amount } = invoice
  if (invoice.status !== 'ISSUED') return
  await untilDone(deps, 'delivery of the invoice', { ...patience, ...DELIVERY_PATIENCE }, signal, () =>
    client.payment.sendInvoice({ params: { invoiceId }, query: {}, signal }),
  )
  logger.info('an invoice was delivered', { agreementId, invoiceId, amount })
}

async function issueOnce({ client, clock }: ProviderDeps, input: InvoiceInput, signal: AbortSignal): Promise<Invoice> {
  const { agreementId, madeAt, activityIds, amount, paymentTimeoutSec } = input
  const all = await client.payment.listInvoices({ query: { afterTimestamp: earliestOf(madeAt) }, signal })
  const existing = all.find((invoice) => invoice.agreementId === agreementId && invoice.status !== 'CANCELLED')
  if (existing) return existing
  const paymentDueDate = fromMs(clock.nowMs() + (paymentTimeoutSec ?? INVOICE_DUE_SEC) * 1000)
  return client.payment.issueInvoice({
    body: { agreementId, activityIds: [...activityIds], amount, paymentDueDate },
    signal,
  })
}
