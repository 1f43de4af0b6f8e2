import {
  type Agreement,
  type AgreementListEntry,
  type AgreementOperationEvent,
  type AgreementState,
  type AgreementTerminatedEvent,
  type Demand,
  type MarketRole,
  type NodeId,
  type Offer,
  type OfferEvent,
  type Proposal,
  parseInstant,
  type Reason,
  type Role,
} from '@emet/core'
import type { AgreementEventRecord } from './agreement-store.ts'
import { propertiesOf } from './content.ts'
import type { QueuedEvent } from './proposal-store.ts'
import { NO_SIGNATURE } from './protocol.ts'
import type { AgreementRecord, AgreementView, ProposalRecord, Publication } from './types.ts'

/** What stands where the other side gave no reason: clients read `reason.message` without looking (REST 8.5). */
export const NO_REASON: Reason = { message: 'The other side gave no reason.' }

export const marketRole = (role: Role): MarketRole => (role === 'provider' ? 'Provider' : 'Requestor')

export const providerOf = (a: AgreementRecord): NodeId => (a.role === 'provider' ? a.ownerId : a.peerId)
export const requestorOf = (a: AgreementRecord): NodeId => (a.role === 'requestor' ? a.ownerId : a.peerId)

/** The state as clients see it: `Approving` never leaves the daemon. */
export const shownState = (a: AgreementRecord): AgreementState => (a.state === 'Approving' ? 'Pending' : a.state)

export function offerDocument(offer: Publication): Offer {
  return {
    properties: propertiesOf(offer),
    constraints: offer.constraints,
    offerId: offer.id,
    providerId: offer.nodeId,
    timestamp: parseInstant(offer.creationTs) ?? 0,
  }
}

export function demandDocument(demand: Publication): Demand {
  return {
    properties: propertiesOf(demand),
    constraints: demand.constraints,
    demandId: demand.id,
    requestorId: demand.nodeId,
    timestamp: parseInstant(demand.creationTs) ?? 0,
  }
}

export function proposalDocument(proposal: ProposalRecord): Proposal {
  return {
    properties: propertiesOf(proposal),
    constraints: proposal.constraints,
    proposalId: proposal.id,
    issuerId: proposal.issuer === 'own' ? proposal.ownerId : proposal.peerId,
    state: proposal.state,
    timestamp: proposal.createdUs,
    prevProposalId: proposal.prevId ?? undefined,
  }
}

function sidesOf(a: AgreementRecord): { demand: Demand; offer: Offer } {
  return {
    demand: {
      properties: propertiesOf(a.demand),
      constraints: a.demand.constraints,
      demandId: a.demandId,
      requestorId: requestorOf(a),
      timestamp: a.createdUs,
    },
    offer: {
      properties: propertiesOf(a.offer),
      constraints: a.offer.constraints,
      offerId: a.offerId,
      providerId: providerOf(a),
      timestamp: a.createdUs,
    },
  }
}

export function agreementDocument(a: AgreementRecord): Agreement {
  const isConfirmed = a.state !== 'Proposal'
  const isApproved = a.state === 'Approved' || a.state === 'Terminated'
  return {
    agreementId: a.agreementId,
    ...sidesOf(a),
    validTo: a.validToUs,
    approvedDate: isApproved ? (a.approvedUs ?? undefined) : undefined,
    state: shownState(a),
    timestamp: a.createdUs,
    appSessionId: a.appSessionId ?? undefined,
    proposedSignature: isConfirmed ? NO_SIGNATURE : undefined,
    approvedSignature: isApproved ? NO_SIGNATURE : undefined,
    committedSignature: isApproved ? NO_SIGNATURE : undefined,
  }
}

export function agreementView(a: AgreementRecord): AgreementView {
  return {
    agreementId: a.agreementId,
    role: a.role,
    ownerId: a.ownerId,
    peerId: a.peerId,
    providerId: providerOf(a),
    requestorId: requestorOf(a),
    state: shownState(a),
    ...sidesOf(a),
    createdUs: a.createdUs,
    validToUs: a.validToUs,
    ...(a.approvedUs !== null && { approvedUs: a.approvedUs }),
    ...(a.appSessionId !== null && { appSessionId: a.appSessionId }),
  }
}

export function agreementListEntry(a: AgreementRecord): AgreementListEntry {
  const isApproved = a.state === 'Approved' || a.state === 'Terminated'
  return {
    id: a.agreementId,
    timestamp: a.createdUs,
    approvedDate: isApproved ? a.approvedUs : null,
    role: marketRole(a.role),
  }
}

export function agreementEvent(event: AgreementEventRecord): AgreementOperationEvent {
  const base = { eventDate: event.atUs, agreementId: event.agreementId }
  const reason = event.reason ?? NO_REASON
  switch (event.kind) {
    case 'approved':
      return { eventType: 'AgreementApprovedEvent', ...base }
    case 'rejected':
      return { eventType: 'AgreementRejectedEvent', ...base, reason }
    case 'cancelled':
      return { eventType: 'AgreementCancelledEvent', ...base, reason }
    case 'terminated':
      return terminatedEvent(event)
  }
}

export function terminatedEvent(event: AgreementEventRecord): AgreementTerminatedEvent {
  return {
    eventType: 'AgreementTerminatedEvent',
    eventDate: event.atUs,
    agreementId: event.agreementId,
    reason: event.reason ?? NO_REASON,
    terminator: marketRole(event.terminator ?? 'requestor'),
    signature: '',
  }
}

/** The document of a queued event; undefined when what it is about is gone. */
export function queuedEventDocument(
  event: QueuedEvent,
  find: {
    proposal: (id: string) => ProposalRecord | undefined
    agreement: (id: string) => AgreementRecord | undefined
  },
): OfferEvent | undefined {
  if (event.kind === 'rejection') {
    const reason = event.reason ?? NO_REASON
    return { eventType: 'ProposalRejectedEvent', eventDate: event.atUs, proposalId: event.subjectId, reason }
  }
  if (event.kind === 'agreement') {
    const agreement = find.agreement(event.subjectId)
    if (!agreement) return undefined
    return { eventType: 'AgreementEvent', eventDate: event.atUs, agreement: agreementDocument(agreement) }
  }
  const proposal = find.proposal(event.subjectId)
  return proposal && { eventType: 'ProposalEvent', eventDate: event.atUs, proposal: proposalDocument(proposal) }
}
