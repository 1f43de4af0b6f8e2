/**
 * Payment: what others may call, and what the module needs of others. `index.ts` is the page to read first.
 */
import type { PaymentNetworkDocument, PaymentStatusDocument } from '@emet/api'
import type { Bus } from '@emet/bus'
import type {
  AbortOptions,
  Acceptance,
  Account,
  AgreementState,
  Allocation,
  AllocationExpenditure,
  AllocationUpdate,
  BatchCycle,
  BatchCycleUpdate,
  BatchOrder,
  BatchOrderItem,
  BatchOrderItemDetail,
  BatchRun,
  ChainedDebitNote,
  Clock,
  DebitNote,
  DebitNoteEvent,
  DriverStatusProperty,
  InstantUs,
  Invoice,
  InvoiceEvent,
  Logger,
  MarketDecoration,
  NewAllocation,
  NewDebitNote,
  NewInvoice,
  NodeId,
  PayActivity,
  PayAgreement,
  PaymentEventKind,
  Random,
  Rejection,
  Service,
  SignedPayment,
} from '@emet/core'
import type { Signer } from '../identity/types.ts'
import type { Database } from '../store/index.ts'
import type { PaymentDriver } from './drivers/types.ts'

/** What payment needs to know of an agreement. */
export type AgreementFacts = {
  readonly agreementId: string
  readonly requestorId: NodeId
  readonly providerId: NodeId
  /** Flat: dotted keys. */
  readonly demandProperties: Readonly<Record<string, unknown>>
  /** Flat: dotted keys. */
  readonly offerProperties: Readonly<Record<string, unknown>>
  /** Of the owner's side. */
  readonly appSessionId?: string | undefined
  readonly state: AgreementState
}

/** The market, as payment sees it. */
export interface AgreementSource {
  /** The agreement as `owner`, an identity of this node and one of its parties, holds it. */
  get(agreementId: string, owner: NodeId): AgreementFacts | undefined
}

/** The activities, as payment sees them. */
export interface ActivitySource {
  /** The agreement under which an activity (of either role) was created. */
  agreementOf(activityId: string): string | undefined
}

export type PaymentDeps = {
  readonly bus: Bus
  readonly db: Database
  readonly signer: Pick<Signer, 'ids' | 'sign' | 'recover'>
  readonly drivers: readonly PaymentDriver[]
  readonly agreements: AgreementSource
  readonly activities: ActivitySource
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** A page of a list: strictly after a cursor, at most so many. */
export type Page = { readonly afterUs?: InstantUs | undefined; readonly max?: number | undefined }

/** Waits for something after a cursor. `timeoutMs` 0 does not wait. */
export type Poll = Page & AbortOptions & { readonly timeoutMs: number; readonly appSessionId?: string | undefined }

export type EventPoll = Poll & {
  readonly requestorKinds?: readonly PaymentEventKind[] | undefined
  readonly providerKinds?: readonly PaymentEventKind[] | undefined
}

/** How long a call to the peer may take. */
export type PeerOptions = AbortOptions & { readonly timeoutMs?: number | undefined }

/** Reservations. Every method throws `PaymentError`; `owner` is the identity that asks. */
export interface Allocations {
  create(owner: NodeId, request: NewAllocation, options?: AbortOptions): Promise<Allocation>
  list(owner: NodeId, page?: Page): Allocation[]
  get(owner: NodeId, id: string): Allocation
  amend(owner: NodeId, id: string, change: AllocationUpdate, options?: AbortOptions): Promise<Allocation>
  release(owner: NodeId, id: string): void
  /** Every active one; returns how many. */
  releaseAll(owner: NodeId): number
  expenditures(owner: NodeId, id: string): AllocationExpenditure[]
  orders(owner: NodeId, id: string): BatchOrderItem[]
  decorations(owner: NodeId, ids: readonly string[]): MarketDecoration
}

/** Debit notes and invoices, in both roles. `issue`, `send` and `cancel` are the provider's, the rest the requestor's. */
export interface Documents<New, Doc, Event> {
  list(owner: NodeId, page?: Page): Doc[]
  get(owner: NodeId, id: string): Doc
  issue(owner: NodeId, request: New): Doc
  send(owner: NodeId, id: string, options?: PeerOptions): Promise<void>
  cancel(owner: NodeId, id: string, options?: PeerOptions): Promise<void>
  /** Resolves when the acceptance is stored; it reaches the peer now or later. */
  accept(owner: NodeId, id: string, acceptance: Acceptance, options?: PeerOptions): Promise<void>
  reject(owner: NodeId, id: string, rejection: Rejection, options?: PeerOptions): Promise<void>
  events(owner: NodeId, poll: EventPoll): Promise<Event[]>
}

/** Settled transfers. */
export interface Payments {
  poll(
    owner: NodeId,
    poll: Poll & { readonly network?: string | undefined; readonly driver?: string | undefined },
  ): Promise<SignedPayment[]>
  get(owner: NodeId, id: string): SignedPayment
  /** Those for the invoice's agreement and its activities. */
  ofInvoice(owner: NodeId, invoiceId: string): SignedPayment[]
  /** Those for the debit note's activity. */
  ofDebitNote(owner: NodeId, debitNoteId: string): SignedPayment[]
}

/** When and how accepted amounts become transfers. */
export interface Batches {
  cycles(owner: NodeId): BatchCycle[]
  cycle(owner: NodeId, platform: string): BatchCycle
  setCycle(owner: NodeId, update: BatchCycleUpdate): BatchCycle
  /** Orders everything payable now, and lets the driver send it. */
  runNow(owner: NodeId, platform: string): BatchRun
  orders(owner: NodeId): BatchOrder[]
  order(owner: NodeId, id: string): BatchOrder
  items(owner: NodeId, orderId: string): BatchOrderItem[]
  details(owner: NodeId, orderId: string, payee: string): BatchOrderItemDetail[]
}

/** Bookkeeping views. */
export interface Sheets {
  agreements(owner: NodeId, page?: Page): PayAgreement[]
  agreement(owner: NodeId, id: string): PayAgreement | undefined
  agreementActivities(owner: NodeId, id: string): PayActivity[]
  agreementOrders(owner: NodeId, id: string): BatchOrderItemDetail[]
  activities(owner: NodeId, page?: Page): PayActivity[]
  activity(owner: NodeId, id: string): PayActivity
  activityDebitNotes(owner: NodeId, id: string): ChainedDebitNote[]
  activityInvoice(owner: NodeId, id: string): Invoice | undefined
  activityOrders(owner: NodeId, id: string): BatchOrderItemDetail[]
}

export interface Accounts {
  requestor(owner: NodeId): Account[]
  provider(): Account[]
  /** What holds up payments, or will (no gas). Undefined: no such driver or network. */
  driverStatus(filter: {
    driver?: string | undefined
    network?: string | undefined
  }): DriverStatusProperty[] | undefined
  networks(): PaymentNetworkDocument[]
  /** Sums and balance of one account. Fails with `bad-platform`, or `driver-failed` when the chain does not answer. */
  status(
    owner: NodeId,
    filter: { network?: string | undefined; driver?: string | undefined; afterUs?: InstantUs | undefined },
    options?: AbortOptions,
  ): Promise<PaymentStatusDocument>
  /** Gets test tokens. Resolves with a text for the user. */
  fund(
    owner: NodeId,
    request: {
      network?: string | undefined
      driver?: string | undefined
      mintOnly?: boolean
      onProgress?: (text: string) => void
    },
    options?: AbortOptions,
  ): Promise<string>
}

/** The payment module. */
export interface PaymentService extends Service {
  readonly allocations: Allocations
  readonly debitNotes: Documents<NewDebitNote, DebitNote, DebitNoteEvent>
  readonly invoices: Documents<NewInvoice, Invoice, InvoiceEvent>
  readonly payments: Payments
  readonly batches: Batches
  readonly sheets: Sheets
  readonly accounts: Accounts
}
