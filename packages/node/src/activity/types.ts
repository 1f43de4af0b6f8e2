/**
 * The nouns of activities, what the module needs from others (`ActivityDeps`) and what it gives (`Activities`).
 */
import type { Bus } from '@emet/bus'
import type {
  AbortOptions,
  ActivityMonitor,
  ActivityState,
  ActivityUsage,
  AgreementState,
  Clock,
  ExeScriptCommandResult,
  ExeScriptCommandState,
  InstantUs,
  Logger,
  NodeId,
  ProviderEvent,
  Random,
  Role,
  RuntimeEvent,
  Service,
  Unregister,
} from '@emet/core'
import type { Database } from '../store/index.ts'

/** What activities need to know of an agreement. The market's `AgreementView` is one. */
export type ActivityAgreement = {
  readonly agreementId: string
  /** Our part in it. */
  readonly role: Role
  readonly providerId: NodeId
  readonly requestorId: NodeId
  readonly state: AgreementState
  readonly appSessionId?: string | undefined
  /** The offer's properties, flat. */
  readonly offer: { readonly properties: Readonly<Record<string, unknown>> }
}

/** The market, as activities see it. */
export interface AgreementSource {
  /** The agreement, when the identity is a party of it. */
  get(agreementId: string, nodeId: NodeId): ActivityAgreement | undefined
  /** Calls `listener` when an agreement of this node has been terminated, by either side. */
  onTerminated(listener: (agreement: ActivityAgreement) => void): Unregister
}

export type ActivityDeps = {
  readonly bus: Bus
  readonly db: Database
  readonly agreements: AgreementSource
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** One activity, as one side keeps it. A daemon with both sides has two records. */
export type ActivityRecord = {
  readonly activityId: string
  readonly role: Role
  /** Our identity. */
  readonly ownerId: NodeId
  readonly peerId: NodeId
  readonly agreementId: string
  readonly state: ActivityState
  readonly usage: ActivityUsage | null
  readonly createdUs: InstantUs
  readonly updatedUs: InstantUs
  /** When the provider agent was last told to destroy it. */
  readonly destroyRequestedUs: InstantUs | null
}

export type WaitOptions = AbortOptions & { readonly timeoutMs: number }

/** What a requestor's agent does. `owner` is its identity, which must be the requestor of the agreement. */
export interface RequestorActivities {
  /** Creates one; resolves with its id when its exe-unit is initialized. */
  create(owner: NodeId, agreementId: string, requestorPubKey: string | null, wait: WaitOptions): Promise<string>
  /** Resolves when it is terminated. */
  destroy(owner: NodeId, activityId: string, wait: WaitOptions): Promise<void>
  /** Starts a batch from the text of an exe-script; resolves with the batch id. */
  exec(owner: NodeId, activityId: string, scriptText: string, wait: WaitOptions): Promise<string>
  /** The results so far; waits for the command at `commandIndex` (default: the last) up to `waitMs`. */
  results(
    owner: NodeId,
    activityId: string,
    batchId: string,
    options: AbortOptions & { readonly waitMs?: number | undefined; readonly commandIndex?: number | undefined },
  ): Promise<ExeScriptCommandResult[]>
  /** What happens in the batch; from its beginning, where the exe-unit keeps it. Taken up again when it breaks. */
  events(owner: NodeId, activityId: string, batchId: string, options: AbortOptions): AsyncIterable<RuntimeEvent>
  runningCommand(owner: NodeId, activityId: string, wait: WaitOptions): Promise<ExeScriptCommandState[]>
}

/** What a provider's agent does. `owner` is its identity. */
export interface ProviderActivities {
  /** What there is to do, oldest first; waits for the first. Empty when time is up. */
  events(
    owner: NodeId,
    options: WaitOptions & {
      readonly afterUs: InstantUs
      readonly maxEvents: number
      readonly appSessionId?: string | undefined
    },
  ): Promise<ProviderEvent[]>
  /** Sets the state, for an agent whose exe-unit cannot any more. */
  setState(owner: NodeId, activityId: string, state: ActivityState): void
  /** The provider's activities that are not terminated, at once and after each change, until the signal aborts. */
  monitor(owner: NodeId, options: AbortOptions): AsyncIterable<ActivityMonitor>
}

export type ActivityFilter = {
  readonly role?: Role | undefined
  readonly alive?: boolean | undefined
  readonly agreementId?: string | undefined
  readonly maxItems?: number | undefined
}

export interface Activities extends Service {
  readonly requestor: RequestorActivities
  readonly provider: ProviderActivities
  /** The identity's activities, the newest first. */
  list(owner: NodeId, filter: ActivityFilter): ActivityRecord[]
  /** The identity's record. Throws `unknown-activity`, or `forbidden` when it is another identity's. */
  get(owner: NodeId, activityId: string): ActivityRecord
  /** The agreement under which an activity of this node, in either role, was created. */
  agreementOf(activityId: string): string | undefined
  /** The state: the provider's own, the requestor's by asking the provider. */
  state(owner: NodeId, activityId: string, wait: WaitOptions): Promise<ActivityState>
  usage(owner: NodeId, activityId: string, wait: WaitOptions): Promise<ActivityUsage>
}
