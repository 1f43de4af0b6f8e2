/** The life cycles of agreements, proposals, activities and payment documents: which moves each state has. */
export {
  type ActivityMove,
  type ActivityStage,
  activityStatePair,
  isActivityAlive,
  NEW_ACTIVITY,
  transitionActivity,
} from './activity.ts'
export {
  type AgreementMove,
  type AgreementStage,
  APPROVAL_MARGIN_MS,
  agreementStateOf,
  isAgreementOver,
  isAgreementOverdue,
  mayMoveAgreement,
  transitionAgreement,
} from './agreement.ts'
export {
  type DocumentKind,
  type DocumentMove,
  transitionDocument,
} from './document.ts'
export { StateError } from './machine.ts'
export { isProposalOpen, type ProposalMove, transitionProposal } from './proposal.ts'
