import { describe, expect, test } from 'vitest'
import { AGREEMENT_STATES, DOCUMENT_STATUSES, PROPOSAL_STATES } from '../documents/index.ts'
import {
  type ActivityMove,
  type ActivityStage,
  type AgreementMove,
  type AgreementStage,
  activityStatePair,
  agreementStateOf,
  type DocumentMove,
  isActivityAlive,
  isAgreementOver,
  isAgreementOverdue,
  isProposalOpen,
  mayMoveAgreement,
  NEW_ACTIVITY,
  type ProposalMove,
  StateError,
  transitionActivity,
  transitionAgreement,
  transitionDocument,
  transitionProposal,
} from './index.ts'

/** Every legal move of `states` under `moves`, as `from move to`. */
function legalMoves<S extends string, M extends string>(
  states: readonly S[],
  moves: readonly M[],
  go: (s: S, m: M) => S,
) {
  return states.flatMap((state) =>
    moves.flatMap((move) => {
      try {
        return [`${state} ${move} ${go(state, move)}`]
      } catch (error) {
        expect(error).toBeInstanceOf(StateError)
        expect((error as StateError).facts).toMatchObject({ state, move })
        return []
      }
    }),
  )
}

describe('agreement', () => {
  const stages: AgreementStage[] = [...AGREEMENT_STATES, 'Approving']
  const moves: AgreementMove[] = ['confirm', 'approve', 'commit', 'revert', 'cancel', 'reject', 'expire', 'terminate']

  test('has these moves and no others', () => {
    expect(legalMoves(stages, moves, transitionAgreement).sort()).toEqual(
      [
        'Proposal confirm Pending',
        'Proposal cancel Cancelled',
        'Proposal expire Expired',
        'Pending approve Approving',
        'Pending cancel Cancelled',
        'Pending reject Rejected',
        'Pending expire Expired',
        'Approving commit Approved',
        'Approving revert Pending',
        'Approving cancel Cancelled',
        'Approving expire Expired',
        'Approved terminate Terminated',
      ].sort(),
    )
  })

  test('each party may make its own moves only', () => {
    const allowed = (role: 'requestor' | 'provider') => moves.filter((move) => mayMoveAgreement(role, move))
    expect(allowed('requestor')).toEqual(['confirm', 'commit', 'revert', 'cancel', 'terminate'])
    expect(allowed('provider')).toEqual(['approve', 'revert', 'reject', 'terminate'])
  })

  test('Approving shows as Pending', () => {
    expect(agreementStateOf('Approving')).toBe('Pending')
    expect(stages.filter(isAgreementOver)).toEqual(['Cancelled', 'Rejected', 'Expired', 'Terminated'])
  })

  test('is overdue after its deadline, unless approved', () => {
    expect(isAgreementOverdue('Pending', 5_000_000, 5_000)).toBe(false)
    expect(isAgreementOverdue('Pending', 5_000_000, 5_001)).toBe(true)
    expect(isAgreementOverdue('Pending', 5_000_000, 4_990, 30)).toBe(true)
    expect(isAgreementOverdue('Approved', 5_000_000, 9_000)).toBe(false)
  })
})

describe('proposal', () => {
  const moves: ProposalMove[] = ['reject', 'reopen', 'accept', 'expire']
  const shared = [
    'Draft accept Accepted',
    'Draft expire Expired',
    'Draft reject Rejected',
    'Initial expire Expired',
    'Initial reject Rejected',
  ]

  test('a rejected proposal is reopened to what it was', () => {
    const first = legalMoves(PROPOSAL_STATES, moves, (state, move) => transitionProposal(state, move, true))
    expect(first.sort()).toEqual([...shared, 'Rejected reopen Initial'])
    const later = legalMoves(PROPOSAL_STATES, moves, (state, move) => transitionProposal(state, move, false))
    expect(later.sort()).toEqual([...shared, 'Rejected reopen Draft'])
    expect(PROPOSAL_STATES.filter(isProposalOpen)).toEqual(['Initial', 'Draft', 'Rejected'])
  })
})

describe('documents', () => {
  const moves: DocumentMove[] = ['send', 'accept', 'reject', 'cancel', 'settle', 'unsettle']

  test.each(['debit-note', 'invoice'] as const)('%ss have these moves and no others', (kind) => {
    const legal = legalMoves(DOCUMENT_STATUSES, moves, (status, move) => transitionDocument(kind, status, move))
    expect(legal.sort()).toEqual(
      [
        'ISSUED send RECEIVED',
        ...['ISSUED', 'RECEIVED', 'FAILED'].flatMap((from) => [`${from} accept ACCEPTED`, `${from} reject REJECTED`]),
        ...['ISSUED', 'RECEIVED', 'REJECTED', 'FAILED'].map((from) => `${from} cancel CANCELLED`),
        'ACCEPTED settle SETTLED',
        'SETTLED unsettle ACCEPTED',
      ].sort(),
    )
  })

  test('an illegal move says what it needs', () => {
    expect(() => transitionDocument('debit-note', 'SETTLED', 'cancel')).toThrow(StateError)
    expect(() => transitionDocument('debit-note', 'CANCELLED', 'accept')).toThrow(
      'debit note is CANCELLED: cannot accept, which needs ISSUED or RECEIVED or FAILED',
    )
  })
})

describe('activity', () => {
  const go = (...moves: ActivityMove[]) => moves.reduce<ActivityStage>(transitionActivity, NEW_ACTIVITY)
  const pair = (...moves: ActivityMove[]) => activityStatePair(go(...moves))

  test('goes through its life', () => {
    expect(pair('initialize')).toEqual(['Initialized', null])
    expect(pair('initialize', 'deploy')).toEqual(['Initialized', 'Deployed'])
    expect(pair('initialize', 'deploy', 'complete', 'start')).toEqual(['Deployed', 'Ready'])
    const ready: ActivityMove[] = ['initialize', 'deploy', 'complete', 'start', 'complete']
    expect(pair(...ready, 'run')).toEqual(['Ready', 'Ready'])
    expect(pair(...ready, 'run', 'complete')).toEqual(['Ready', null])
    expect(pair(...ready, 'reset')).toEqual(['Initialized', null])
    expect(pair(...ready, 'run', 'terminate')).toEqual(['Ready', 'Terminated'])
    expect(pair(...ready, 'terminate', 'complete')).toEqual(['Terminated', null])
    expect(pair('initialize', 'deploy', 'abort')).toEqual(['Initialized', null])
  })

  test('silence hides the state, and it comes back', () => {
    const silent = go('initialize', 'deploy', 'silence')
    expect(activityStatePair(silent)).toEqual(['Unresponsive', 'Deployed'])
    expect(isActivityAlive(silent)).toBe(true)
    expect(transitionActivity(silent, 'resume')).toEqual({ current: 'Initialized', pending: 'Deployed' })
    expect(isActivityAlive(go('initialize', 'terminate'))).toBe(false)
  })

  test.each<ActivityMove[]>([
    ['deploy'],
    ['complete'],
    ['resume'],
    ['reset'],
    ['initialize', 'initialize'],
    ['initialize', 'start'],
    ['initialize', 'run'],
    ['initialize', 'deploy', 'deploy'],
    ['initialize', 'deploy', 'complete', 'deploy'],
    ['initialize', 'silence', 'silence'],
    ['initialize', 'terminate', 'reset'],
    ['initialize', 'terminate', 'abort'],
    ['terminate', 'complete', 'terminate'],
    ['terminate', 'complete', 'silence'],
  ])('%j %j %j %j is illegal', (...moves) => {
    const legal = go(...moves.slice(0, -1))
    expect(() => transitionActivity(legal, moves.at(-1)!)).toThrow(StateError)
  })
})
