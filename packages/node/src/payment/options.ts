import { z } from 'zod'

const DAY_MS = 24 * 60 * 60_000
const ms = z.int().min(0)

/** Everything one may set about payments, with its default. All times in milliseconds. */
export const paymentOptionsSchema = z.object({
  /** Test networks: how long accepted amounts are gathered before they are paid. 0: paid as soon as accepted. */
  testnetCycleIntervalMs: ms.default(5 * 60_000),
  /** Test networks: how long before its due date a document is paid even if the interval has not passed. */
  testnetExtraPayTimeMs: ms.default(4 * 60_000),
  mainnetCycleIntervalMs: ms.default(DAY_MS),
  mainnetExtraPayTimeMs: ms.default(60 * 60_000),
  /** Accepts any allocation without looking at the account's balance. For tests only. */
  skipAllocationValidation: z.boolean().default(false),
  /** An allocation without a timeout gets this one. */
  allocationTimeoutMs: ms.default(3650 * DAY_MS),
  /** An accept, a reject or a payment that a peer did not confirm is sent again after this, ... */
  syncInitialMs: ms.default(30_000),
  /** ... then after this many times as long, ... */
  syncFactor: z.number().min(1).default(6),
  /** ... this many times. After that: when the peer asks, at the next news for it, and at the next start. */
  syncTriesMax: z.int().min(1).default(7),
  /** How long one answer to a sync may take. */
  syncTimeoutMs: ms.default(30_000),
  /** At start each payer of an unsettled document is asked for news; the pause between two of them. */
  syncNeededPauseMs: ms.default(30_000),
  /** The chain is asked again after this about an announced payment that it does not show yet, then after twice as long, ... */
  announcedRetryMs: ms.default(500),
  /** ... but at least this often. */
  announcedRetryMaxMs: ms.default(30_000),
  /** After this, an announced payment that the chain never showed is forgotten. */
  announcedAgeMaxMs: ms.default(7 * DAY_MS),
  /** How long the payer's announcement waits for the chain before it is answered. */
  verifyPatienceMs: ms.default(0),
  /** Events older than this are removed. A client that was away for longer reads the documents instead. */
  eventRetentionMs: ms.default(90 * DAY_MS),
  /** Settled, rejected and cancelled documents are removed this long after their last change. Sums stay. */
  documentRetentionMs: ms.default(365 * DAY_MS),
  /** How often is looked for something to remove. */
  cleanUpIntervalMs: ms.default(DAY_MS),
})

export type PaymentOptions = z.output<typeof paymentOptionsSchema>
/** Any of the options; the rest have their defaults. */
export type PaymentOptionsInput = z.input<typeof paymentOptionsSchema>

/** Active allocations of one identity. */
export const ALLOCATIONS_ACTIVE_MAX = 10_000
/** Long polls waiting at one time, of all clients. */
export const WAITERS_MAX = 10_000
/** Debit notes and invoices that one agreement may fill, per node. */
export const DOCUMENTS_PER_AGREEMENT_MAX = 100_000
/** JSON text of a debit note's usage counters. */
export const USAGE_BYTES_MAX = 16_384
/** Characters of an id that a peer chooses: document, activity and payment ids. */
export const PEER_ID_LENGTH_MAX = 128
/** Message of a rejection, in characters. */
export const REJECTION_MESSAGE_LENGTH_MAX = 4_096
/** Shares of one payment. */
export const PAYMENT_SHARES_MAX = 10_000
/** Signed bytes of one payment. */
export const SIGNED_BYTES_MAX = 4 * 1024 * 1024
/** Bytes of a payment's proof. */
export const CONFIRMATION_BYTES_MAX = 1_024
/** Announced payments of one peer that the chain does not show yet. */
export const ANNOUNCED_PER_PEER_MAX = 100
/** Entries of one PaymentSync, of each sort. */
export const SYNC_ENTRIES_MAX = 500
/** Peers that are brought up to date at one time. */
export const SYNCS_CONCURRENT_MAX = 8
/** How often a new allocation is checked anew because money moved during the check. */
export const FUNDS_CHECKS_MAX = 10
