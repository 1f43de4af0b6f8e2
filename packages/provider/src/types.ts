/**
 * The provider agent sells a machine. It decides (prices, whom to serve, when to bill) and does everything through the
 * daemon's REST API; the work itself is done by exe-units, one process for each activity.
 *
 *     presets + hardware -> offers -> proposals -> negotiator -> agreements -> rentals
 *                                                                               |-> activities: exe-units
 *                                                                               |-> debit notes on schedule, an invoice at the end
 *
 * Nothing of importance lives only in the agent: agreements, activities and documents are in the daemon, and a folder of
 * each activity says which process serves it. A restarted agent picks up where the former one was.
 */
import type { Client } from '@emet/api'
import type { Clock, Logger, Service } from '@emet/core'
import type { ConfigFolder } from './config.ts'
import type { Machine } from './hardware.ts'
import type { OfferTemplate } from './offer.ts'

/** A kind of runtime that this machine can sell. */
export type SoldRuntime = { readonly name: string; readonly version: string; readonly template: OfferTemplate }

/** How an exe-unit process ended. */
export type UnitExit = { readonly code: number | null; readonly signal: string | null }

/** One exe-unit process. */
export interface RunningUnit {
  readonly exited: Promise<UnitExit>
  /** Asks it to end, then insists. Resolves when the process is gone. */
  stop(): Promise<void>
  /** Ends it at once, with all that it has started. */
  kill(): Promise<void>
}

export type LaunchRequest = {
  readonly activityId: string
  readonly agreementId: string
  readonly runtime: string
  /** The agreement with its properties expanded to a tree, as exe-units read it. */
  readonly agreement: unknown
}

/** The exe-units of this machine, as a port. */
export interface ExeUnits {
  /** The runtimes whose self-test passes. */
  runtimes(): Promise<SoldRuntime[]>
  /** Starts a process. Throws `exe-unit-failed` when it cannot be started. */
  launch(request: LaunchRequest): Promise<RunningUnit>
  /** The process of an activity that a former agent started, if it still runs. */
  find(activityId: string, agreementId: string): RunningUnit | undefined
}

/** As much of the daemon as the agent uses. */
export type ProviderClient = {
  readonly root: Pick<Client['root'], 'getMe'>
  readonly market: Pick<
    Client['market'],
    | 'listAgreements'
    | 'getAgreement'
    | 'getAgreementEvents'
    | 'terminateAgreement'
    | 'createOffer'
    | 'listOffers'
    | 'deleteOffer'
    | 'getOfferEvents'
    | 'getOfferProposal'
    | 'counterDemandProposal'
    | 'rejectDemandProposal'
    | 'approveAgreement'
    | 'rejectAgreement'
  >
  readonly activity: Pick<
    Client['activity'],
    'listActivities' | 'getState' | 'setState' | 'getUsage' | 'getProviderEvents'
  >
  readonly payment: Pick<
    Client['payment'],
    | 'getProviderAccounts'
    | 'listDebitNotes'
    | 'getDebitNote'
    | 'issueDebitNote'
    | 'sendDebitNote'
    | 'listInvoices'
    | 'issueInvoice'
    | 'sendInvoice'
  >
}

export type ProviderDeps = {
  readonly client: ProviderClient
  readonly exeUnits: ExeUnits
  readonly folder: ConfigFolder
  readonly machine: Machine
  readonly clock: Clock
  readonly logger: Logger
}

export interface ProviderAgent extends Service {
  /** What is going on, for `emet provider status`. */
  status(): ProviderStatus
}

export type ProviderStatus = {
  readonly nodeId: string
  /** The presets whose offers are published. */
  readonly presets: readonly string[]
  readonly rentals: readonly { readonly agreementId: string; readonly state: string; readonly activities: number }[]
}
