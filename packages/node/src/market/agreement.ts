import {
  agreementIdOf,
  formatNaiveInstant,
  type InstantUs,
  type NodeId,
  parseAgreementId,
  parseInstant,
  parseProposalId,
  type Reason,
  type Role,
} from '@emet/core'
import { MarketError } from './errors.ts'
import { idsOf } from './proposal.ts'
import { type Message, NO_SIGNATURE, NOT_SIGNED, otherRole } from './protocol.ts'
import type { AgreementRecord, ProposalRecord } from './types.ts'

/** A new agreement, of the last proposal of the provider and the requestor's one before it. Requestor's side. */
export function agreementOf(
  offer: ProposalRecord,
  demand: ProposalRecord,
  times: { createdUs: InstantUs; validToUs: InstantUs },
): AgreementRecord {
  const creationTs = formatNaiveInstant(times.createdUs)
  const agreementId = agreementIdOf(idsOf(offer, creationTs))
  return newRecord(offer, demand, { ...times, agreementId, creationTs, state: 'Proposal', role: 'requestor' })
}

/** The provider's copy of an agreement that a requestor proposes. */
export function receivedAgreement(
  offer: ProposalRecord,
  demand: ProposalRecord,
  message: Message<'AgreementReceived'>,
): AgreementRecord {
  return newRecord(offer, demand, {
    agreementId: message.agreementId,
    role: 'provider',
    state: 'Pending',
    creationTs: message.creationTs,
    createdUs: parseInstant(message.creationTs) ?? 0,
    validToUs: parseInstant(message.validTo) ?? 0,
  })
}

function newRecord(
  offer: ProposalRecord,
  demand: ProposalRecord,
  facts: Pick<AgreementRecord, 'agreementId' | 'role' | 'state' | 'creationTs' | 'createdUs' | 'validToUs'>,
): AgreementRecord {
  return {
    ...facts,
    ownerId: offer.ownerId,
    peerId: offer.peerId,
    offerId: offer.offerId,
    demandId: offer.demandId,
    offer: { properties: offer.properties, constraints: offer.constraints },
    demand: { properties: demand.properties, constraints: demand.constraints },
    proposalId: offer.id,
    approvedUs: null,
    appSessionId: null,
    reason: null,
    terminator: null,
    isInDoubt: false,
  }
}

/** Where messages about an agreement go. */
export function routeOf(agreement: AgreementRecord): { from: NodeId; to: NodeId; receiver: Role } {
  return { from: agreement.ownerId, to: agreement.peerId, receiver: otherRole(agreement.role) }
}

/** The messages about an agreement, as sent. */
export const messageOf = {
  received: (a: AgreementRecord) => ({
    proposalId: checked(parseProposalId(a.proposalId), a.proposalId),
    agreementId: idOf(a),
    creationTs: a.creationTs,
    validTo: formatNaiveInstant(a.validToUs),
    signature: NO_SIGNATURE,
  }),
  approved: (a: AgreementRecord, approvedUs: InstantUs) => ({
    agreementId: idOf(a),
    signature: NO_SIGNATURE,
    approvedTs: formatNaiveInstant(approvedUs),
  }),
  committed: (a: AgreementRecord) => ({ agreementId: idOf(a), signature: NO_SIGNATURE }),
  cancelled: (a: AgreementRecord, reason: Reason | null, atUs: InstantUs) => ({
    agreementId: idOf(a),
    reason,
    cancellationTs: formatNaiveInstant(atUs),
  }),
  rejected: (a: AgreementRecord, reason: Reason | null, atUs: InstantUs) => ({
    agreementId: idOf(a),
    reason,
    rejectionTs: formatNaiveInstant(atUs),
  }),
  terminated: (a: AgreementRecord, reason: Reason | null, atUs: InstantUs) => ({
    agreementId: idOf(a),
    reason,
    signature: NOT_SIGNED,
    terminationTs: formatNaiveInstant(atUs),
  }),
} as const

const idOf = (a: AgreementRecord) => checked(parseAgreementId(a.agreementId), a.agreementId)

function checked<T>(id: T | undefined, text: string): T {
  if (id !== undefined) return id
  throw new MarketError('bad-id', `the id ${text} is malformed`, { id: text })
}
