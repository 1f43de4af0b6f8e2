import type { AgreementState } from '../documents/index.ts'
import type { Role } from '../ids.ts'
import { type InstantUs, toMs } from '../instant.ts'
import { applyMove, type Move } from './machine.ts'

/**
 * The states an agreement is kept in. `Approving` is between the provider's approval and the requestor's commit; outside
 * it shows as `Pending`.
 *
 *     Proposal --confirm--> Pending --approve--> Approving --commit--> Approved --terminate--> Terminated
 *        |                   |   ^------revert------'
 *        |                   '--reject--> Rejected
 *        '-- cancel, expire (also from Pending and Approving) --> Cancelled, Expired
 */
export type AgreementStage = AgreementState | 'Approving'

export type AgreementMove = 'confirm' | 'approve' | 'commit' | 'revert' | 'cancel' | 'reject' | 'expire' | 'terminate'

/** Who may make a move: a party, either party, or nobody (it happens when time has passed). */
type MoveRule = Move<AgreementStage> & { readonly by: Role | 'either' | 'time' }

// Golem wire: the state machine of agreements as both daemons keep it.
const RULES: Readonly<Record<AgreementMove, MoveRule>> = {
  confirm: { from: ['Proposal'], to: 'Pending', by: 'requestor' },
  approve: { from: ['Pending'], to: 'Approving', by: 'provider' },
  commit: { from: ['Approving'], to: 'Approved', by: 'requestor' },
  revert: { from: ['Approving'], to: 'Pending', by: 'either' },
  cancel: { from: ['Proposal', 'Pending', 'Approving'], to: 'Cancelled', by: 'requestor' },
  reject: { from: ['Pending'], to: 'Rejected', by: 'provider' },
  expire: { from: ['Proposal', 'Pending', 'Approving'], to: 'Expired', by: 'time' },
  terminate: { from: ['Approved'], to: 'Terminated', by: 'either' },
}

/** An approval this close to the deadline counts as too late. */
export const APPROVAL_MARGIN_MS = 30

/** The stage after a move. Throws `StateError` when the stage has no such move. */
export function transitionAgreement(stage: AgreementStage, move: AgreementMove): AgreementStage {
  return applyMove('agreement', RULES[move], stage, move)
}

/** Whether the party may ask for this move at all, in whatever stage. */
export function mayMoveAgreement(role: Role, move: AgreementMove): boolean {
  const { by } = RULES[move]
  return by === role || by === 'either'
}

/** The state as documents show it. */
export function agreementStateOf(stage: AgreementStage): AgreementState {
  return stage === 'Approving' ? 'Pending' : stage
}

/** True when nothing can follow. */
export function isAgreementOver(stage: AgreementStage): boolean {
  return stage === 'Cancelled' || stage === 'Rejected' || stage === 'Expired' || stage === 'Terminated'
}

/** Whether the deadline has passed for an agreement that is not approved yet. `marginMs` moves it forward. */
export function isAgreementOverdue(stage: AgreementStage, validTo: InstantUs, nowMs: number, marginMs = 0): boolean {
  return RULES.expire.from.includes(stage) && nowMs + marginMs > toMs(validTo)
}
