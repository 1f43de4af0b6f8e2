import { z } from 'zod'

const HOUR_MS = 3_600_000

/** Options of the market. Every field has a default. */
export const marketOptionsSchema = z.object({
  /** How long an offer or a demand lives, ms. The original: one hour. */
  subscriptionTtlMs: z
    .int()
    .min(1_000)
    .max(30 * 24 * HOUR_MS)
    .default(HOUR_MS),
  /** Index peers that hold each offer. */
  replicas: z.int().min(1).max(16).default(3),
  /** How many of the replicas a demand asks. */
  replicasAsked: z.int().min(1).max(16).default(2),
  /** How often a provider tells its index peers that it lives, ms. Must be well below their time-out. */
  heartbeatMs: z.int().min(1_000).default(300_000),
  /** How many directly connected peers a demand asks when there is no index peer. */
  directPeersMax: z.int().min(0).max(200).default(30),
  /** Offers taken from one index peer at once. */
  pullLength: z.int().min(1).max(100).default(50),
  /** This daemon is an index peer itself (an offer index is bound on the same bus). */
  isIndex: z.boolean().default(false),
})
export type MarketOptions = z.output<typeof marketOptionsSchema>
export type MarketOptionsInput = z.input<typeof marketOptionsSchema>

/** Options of an index peer. */
export const offerIndexOptionsSchema = z.object({
  /** Offers kept. Further ones are refused until some expire or fall silent. */
  offersMax: z.int().min(1).default(500_000),
  /** Offers of one provider. */
  offersPerProviderMax: z.int().min(1).default(50),
  /** Standing demands kept. */
  watchesMax: z.int().min(0).default(20_000),
  watchesPerCallerMax: z.int().min(1).default(200),
  /** A provider that was silent for so long is taken for gone, ms. */
  heartbeatTimeoutMs: z.int().min(1_000).default(900_000),
  /** A standing demand that was not renewed for so long ends, ms. */
  watchTtlMs: z.int().min(1_000).default(900_000),
  /** Offers in one answer. */
  resultsMax: z.int().min(1).max(100).default(50),
  /** Messages of one caller in a minute; further ones are refused. */
  callsPerMinuteMax: z.int().min(1).default(1_200),
})
export type OfferIndexOptions = z.output<typeof offerIndexOptionsSchema>
export type OfferIndexOptionsInput = z.input<typeof offerIndexOptionsSchema>
