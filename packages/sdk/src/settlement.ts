import { hasStatus } from '@emet/api'
import type { SignedPayment } from '@emet/core'
import { bytesToHex } from './bytes.ts'
import type { SdkDeps } from './daemon.ts'
import { POLL_PAUSE_MS } from './limits.ts'

/** What has been paid for an agreement, in wei, and by which transactions. */
export type PaidSoFar = { readonly amount: bigint; readonly transactions: readonly string[] }

export type Owed = {
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly invoiceId: string
  readonly amount: bigint
}

/** Waits until `owed.amount` has been paid for the agreement. There is no limit but the signal: chains take their time. */
export async function waitForPayment(
  { client, clock }: Pick<SdkDeps, 'client' | 'clock'>,
  owed: Owed,
  signal: AbortSignal | undefined,
): Promise<PaidSoFar> {
  for (;;) {
    signal?.throwIfAborted()
    const params = { invoiceId: owed.invoiceId }
    const payments = await client.payment.getInvoicePayments({ params, signal }).catch((error) => {
      if (hasStatus(error, 404)) return []
      throw error
    })
    const paid = paidFor(owed, payments)
    if (paid.amount >= owed.amount) return paid
    await clock.sleep(POLL_PAUSE_MS, signal)
  }
}

/** Sums up what payments say of the agreement. One payment may cover many agreements. */
export function paidFor(owed: Pick<Owed, 'agreementId' | 'activityId'>, payments: readonly SignedPayment[]): PaidSoFar {
  const partsOf = ({ agreementPayments, activityPayments }: SignedPayment) => [
    ...agreementPayments.filter((part) => part.agreementId === owed.agreementId),
    ...activityPayments.filter((part) => part.activityId === owed.activityId),
  ]
  const ours = payments.filter((payment) => partsOf(payment).length > 0)
  return {
    amount: ours.flatMap(partsOf).reduce((sum, part) => sum + part.amount, 0n),
    transactions: [...new Set(ours.map((payment) => transactionOf(payment.details)))],
  }
}

/** Golem wire: the confirmation of an ERC-20 payment is the hash of its transaction. */
export function transactionOf(details: Uint8Array): string {
  if (details.length === 32) return `0x${bytesToHex(details)}`
  const text = new TextDecoder().decode(details)
  return /0x[0-9a-fA-F]{64}/.exec(text)?.[0] ?? text
}
