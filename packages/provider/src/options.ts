import { z } from 'zod'
import { negotiationOptionsSchema } from './negotiation/options.ts'

/** How patiently bills are delivered to a requestor that does not answer. What is left goes on at the next start. */
export const DELIVERY_PATIENCE = { pauseMsMax: 10 * 60_000, giveUpMs: 24 * 3_600_000 } as const

/** How the agent behaves, beside the terms of negotiation. All have defaults. */
export const providerOptionsSchema = z.object({
  /** Shown to requestors; default: the file's, else `emet-provider`. */
  nodeName: z.string().min(1).max(200).optional(),
  /** Only nodes of the same subnet trade with each other; default: the file's, else `public`. */
  subnet: z.string().min(1).max(100).optional(),
  /** Networks (or platforms) to be paid on. Default: all that the daemon has. */
  paymentNetworks: z.array(z.string()).default([]),
  negotiation: negotiationOptionsSchema.prefault({}),
  /** Whether others can connect to this node directly; told in the offer. */
  isPublic: z.boolean().default(false),
  /** How long one poll for events waits. */
  pollSec: z.number().min(0.1).default(20),
  /** How long the requestor has to commit to an agreement that we approved. */
  approveTimeoutSec: z.number().positive().default(10),
  /** An agreement without an activity for this long is ended. */
  idleAgreementTimeoutSec: z.number().positive().default(90),
  /** The first pause before something that failed is tried again; it grows to a minute. */
  retryMs: z.number().positive().default(1_000),
})
export type ProviderOptions = z.input<typeof providerOptionsSchema>
export type ParsedProviderOptions = z.output<typeof providerOptionsSchema>
