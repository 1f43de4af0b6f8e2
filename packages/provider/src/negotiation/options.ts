import { z } from 'zod'

const MINUTE_S = 60
const HOUR_S = 3600
const YEAR_S = 365 * 24 * HOUR_S

/** The terms under which this provider signs. Defaults are those of the original provider. Durations in seconds. */
export const negotiationOptionsSchema = z.object({
  /** Agreements served at the same time. */
  maxSimultaneousAgreements: z.number().int().min(1).default(1),
  /** How far away the end of a rental must be, and may be. */
  minExpirationSec: z
    .number()
    .min(0)
    .default(5 * MINUTE_S),
  maxExpirationSec: z
    .number()
    .positive()
    .default(100 * YEAR_S),
  /** The farthest end for a requestor that does not promise to accept debit notes in time. */
  maxExpirationWithoutDeadlineSec: z
    .number()
    .positive()
    .default(30 * MINUTE_S),
  /** How soon debit notes must be accepted. */
  acceptTimeoutSec: z
    .number()
    .min(5)
    .default(4 * MINUTE_S),
  debitNoteIntervalSec: z
    .number()
    .min(1)
    .default(2 * MINUTE_S),
  minDebitNoteIntervalSec: z.number().min(1).default(1),
  maxDebitNoteIntervalSec: z
    .number()
    .positive()
    .default(24 * HOUR_S),
  paymentTimeoutSec: z
    .number()
    .min(1)
    .default(2 * MINUTE_S),
  minPaymentTimeoutSec: z.number().min(1).default(1),
  maxPaymentTimeoutSec: z
    .number()
    .positive()
    .default(24 * HOUR_S),
  /** Rentals longer than this must pay while they run. */
  paymentRequiredDurationSec: z
    .number()
    .positive()
    .default(10 * HOUR_S),
})
export type NegotiationOptions = z.output<typeof negotiationOptionsSchema>
