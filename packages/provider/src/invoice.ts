import { fromMs, type Invoice } from '@emet/core'
import { INVOICE_DUE_SEC } from './billing.ts'
import type { ParsedProviderOptions } from './options.ts'
import { untilDone } from './retry.ts'
import type { ProviderDeps } from './types.ts'

export type InvoiceInput = {
  readonly agreementId: string
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
  const invoice = await untilDone(deps, 'invoice', retryMs, signal, () => issueOnce(deps, input, signal))
  const { agreementId, invoiceId, amount } = invoice
  if (invoice.status !== 'ISSUED') return
  await untilDone(deps, 'delivery of the invoice', retryMs, signal, () =>
    client.payment.sendInvoice({ params: { invoiceId }, query: {}, signal }),
  )
  logger.info('an invoice was delivered', { agreementId, invoiceId, amount })
}

async function issueOnce({ client, clock }: ProviderDeps, input: InvoiceInput, signal: AbortSignal): Promise<Invoice> {
  const { agreementId, activityIds, amount, paymentTimeoutSec } = input
  const all = await client.payment.listInvoices({ query: {}, signal })
  const existing = all.find((invoice) => invoice.agreementId === agreementId)
  if (existing) return existing
  const paymentDueDate = fromMs(clock.nowMs() + (paymentTimeoutSec ?? INVOICE_DUE_SEC) * 1000)
  return client.payment.issueInvoice({
    body: { agreementId, activityIds: [...activityIds], amount, paymentDueDate },
    signal,
  })
}
