import { type ExeScriptCommandResult, nodeId, type Proposal, type RuntimeEvent } from '@emet/core'
import type { DaemonClient } from '../daemon.ts'

/** What a program does on a fake machine. */
export type FakeProgram = (input: { readonly args: readonly string[]; readonly files: Map<string, Uint8Array> }) => {
  readonly exitCode?: number
  readonly stdout?: readonly string[]
  readonly stderr?: string
  readonly ms?: number
}

export type FakeProvider = {
  readonly name: string
  /** GLM per second of time, per second of CPU, and to start. */
  readonly prices?: readonly [number, number, number]
  readonly threads?: number
  readonly answersProposals?: 'yes' | 'no' | 'never'
  readonly signs?: 'yes' | 'no' | 'never'
  /** `bad-image`: says that the image can be used nowhere. */
  readonly deploys?: 'yes' | 'no' | 'never' | 'bad-image'
  readonly createsActivity?: 'yes' | 'no' | 'never'
  readonly programs?: Readonly<Record<string, FakeProgram>>
  /** Bills are multiplied by this. */
  readonly charges?: number
  readonly invoices?: 'at-once' | 'never'
  /** Sends debit notes each so many milliseconds. */
  readonly debitNotesMs?: number
  /** Says it wants these values for negotiable properties. */
  readonly wants?: Readonly<Record<string, unknown>>
}

/** The fake daemon: its client, and what is left on it. */
export interface FakeDaemon {
  readonly client: DaemonClient
  /** Everything that is still open: demands, approved agreements, activities, allocations, published files. */
  open(): { demands: number; agreements: number; activities: number; allocations: number; files: number }
  readonly accepted: { readonly kind: 'debit-note' | 'invoice'; readonly amount: bigint; readonly provider: string }[]
  readonly rejected: string[]
  /** How often each provider has signed. */
  readonly signed: Map<string, number>
  /** Ends the agreements with a provider, from its side. */
  terminateBy(provider: string, message: string): void
  /** The machines of a provider die under their programs, and its daemon says why. */
  crash(provider: string, why: string): void
  /** For so long, whoever ends an agreement or an activity, or accepts a bill, hears that the provider is not reached. */
  cutOffFor(ms: number): void
  /** Pays everything accepted. */
  pay(): void
}

/** An agreement with a fake provider. */
export type Contract = {
  readonly id: string
  readonly provider: FakeProvider
  readonly proposal: Proposal
  state: 'Proposal' | 'Pending' | 'Approved' | 'Cancelled' | 'Terminated'
  activity?: FakeActivity
}
/** An activity on a fake machine. */
export type FakeActivity = {
  readonly id: string
  readonly contract: Contract
  readonly beganMs: number
  endedMs?: number
  readonly files: Map<string, Uint8Array>
  readonly batches: Map<string, FakeBatch>
  /** Why the machine has died. */
  diedOf?: string
  halt: AbortController
}
/** A batch, its results and events so far. */
export type FakeBatch = {
  results: ExeScriptCommandResult[]
  events: RuntimeEvent[]
  isDone: boolean
  changed: PromiseWithResolvers<void>
}

/** The node id of a fake provider: its name in hex. */
export const fakeProviderId = (name: string) =>
  nodeId(
    `0x${Array.from(new TextEncoder().encode(name), (byte) => byte.toString(16).padStart(2, '0'))
      .join('')
      .padEnd(40, '0')
      .slice(0, 40)}`,
  )
