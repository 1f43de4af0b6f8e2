import type { ProposalState } from '../documents/index.ts'
import { illegalMove } from './machine.ts'

/**
 * A proposal's moves. `Initial` is what the market found, `Draft` is a counter-proposal.
 *
 *     Initial --reject--> Rejected --reopen--> Initial         (reopen: countering a rejected proposal)
 *     Draft   --reject--> Rejected --reopen--> Draft
 *     Draft   --accept--> Accepted                             (an agreement was made of it)
 *     Initial, Draft --expire--> Expired
 */
export type ProposalMove = 'reject' | 'reopen' | 'accept' | 'expire'

const LEGAL_IN: Readonly<Record<ProposalMove, readonly ProposalState[]>> = {
  reject: ['Initial', 'Draft'],
  reopen: ['Rejected'],
  accept: ['Draft'],
  expire: ['Initial', 'Draft'],
}

const LEADS_TO = { reject: 'Rejected', accept: 'Accepted', expire: 'Expired' } as const

/**
 * The state after a move. `isFirst` tells whether the proposal has no predecessor, which decides where `reopen` leads.
 * Throws `StateError` when the state has no such move.
 */
export function transitionProposal(state: ProposalState, move: ProposalMove, isFirst: boolean): ProposalState {
  if (!LEGAL_IN[move].includes(state)) throw illegalMove('proposal', state, move, LEGAL_IN[move])
  if (move !== 'reopen') return LEADS_TO[move]
  return isFirst ? 'Initial' : 'Draft'
}

/** Whether a counter-proposal may be made to a proposal in this state. */
export function isProposalOpen(state: ProposalState): boolean {
  return state === 'Initial' || state === 'Draft' || state === 'Rejected'
}
