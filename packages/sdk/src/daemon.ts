import type { Client } from '@emet/api'
import type { Clock, Logger, Random } from '@emet/core'
import type { EventHub } from './events.ts'

/** The part of the REST client that the SDK uses. */
export type DaemonClient = {
  readonly root: Pick<Client['root'], 'getMe'>
  readonly market: Pick<
    Client['market'],
    | 'createDemand'
    | 'deleteDemand'
    | 'getDemandEvents'
    | 'counterOfferProposal'
    | 'rejectOfferProposal'
    | 'createAgreement'
    | 'confirmAgreement'
    | 'waitForApproval'
    | 'cancelAgreement'
    | 'getAgreement'
    | 'terminateAgreement'
    | 'getAgreementEvents'
  >
  readonly activity: Pick<
    Client['activity'],
    'createActivity' | 'destroyActivity' | 'exec' | 'getExecResults' | 'getState' | 'getUsage'
  >
  readonly payment: Pick<
    Client['payment'],
    | 'createAllocation'
    | 'getAllocation'
    | 'releaseAllocation'
    | 'getDemandDecorations'
    | 'getDebitNoteEvents'
    | 'getDebitNote'
    | 'acceptDebitNote'
    | 'getInvoiceEvents'
    | 'getInvoice'
    | 'acceptInvoice'
    | 'rejectInvoice'
    | 'getInvoicePayments'
  >
  readonly emet: {
    readonly files: Pick<Client['emet']['files'], 'publish' | 'publishContent' | 'receive' | 'getContent' | 'close'>
    readonly market: Pick<Client['emet']['market'], 'listKnownOffers'>
  }
}

/** What every part of a session works with. */
export type SdkDeps = {
  readonly client: DaemonClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly hub: EventHub
}
