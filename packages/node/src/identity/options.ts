import { z } from 'zod'

export const identityOptionsSchema = z.object({
  /** A private key (64 hex digits) that becomes the default identity; kept in memory only. */
  autoconfSecret: z.string().optional(),
  /** The password that unlocks the default identity at start, when it has one. */
  defaultPassword: z.string().max(1024).optional(),
  /** An app key that exists while the daemon runs, bound to the default identity. Named `autoconfigured`. */
  autoconfAppKey: z.string().min(1).max(256).optional(),
})
export type IdentityOptions = z.input<typeof identityOptionsSchema>
