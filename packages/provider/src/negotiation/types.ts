/**
 * Negotiation: a demand comes in, and each component in turn says what it thinks of it, over flat properties.
 *
 *     demand --> component --> component --> ... --> Ready        nothing to change
 *                                                    Negotiating  take our changed offer
 *                                                    Reject       final: never come back; else: maybe later
 *
 * Components are pure and independent of their order, as the original's are. An agreement is judged by the same
 * components: only `Ready` from all approves it. (Golem: provider's negotiator, `golem.proposal.rejection.is-final`.)
 */
import type { NodeId } from '@emet/core'

export type FlatProperties = Readonly<Record<string, unknown>>

export type NegotiationInput = {
  readonly demand: FlatProperties
  /** Our offer as it stands in this negotiation. */
  readonly offer: FlatProperties
  readonly requestorId: NodeId
  readonly nowMs: number
  /** Agreements that hold a place now. */
  readonly activeAgreements: number
}

export type Decision =
  | { readonly kind: 'ready' }
  /** Our offer must change by these properties; undefined removes one. */
  | { readonly kind: 'negotiating'; readonly change: Readonly<Record<string, unknown>> }
  | { readonly kind: 'reject'; readonly reason: string; readonly isFinal: boolean }

export type NegotiatorComponent = (input: NegotiationInput) => Decision

export const READY: Decision = { kind: 'ready' }
export const rejectFinally = (reason: string): Decision => ({ kind: 'reject', reason, isFinal: true })
export const rejectForNow = (reason: string): Decision => ({ kind: 'reject', reason, isFinal: false })
