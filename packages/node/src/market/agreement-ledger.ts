import {
  type AgreementMove,
  type InstantUs,
  isAgreementOverdue,
  type NodeId,
  parseAgreementId,
  type Reason,
  type Role,
  StateError,
  transitionAgreement,
} from '@emet/core'
import type { AgreementChanges, AgreementEventKind } from './agreement-store.ts'
import type { MarketContext } from './context.ts'
import { agreementView, NO_REASON } from './documents.ts'
import { MarketError } from './errors.ts'
import { kindOf } from './proposal.ts'
import type { AgreementChange, AgreementRecord } from './types.ts'

/** Keys of the waits on one agreement, and on the event feed of an identity. */
export const agreementKey = (a: Pick<AgreementRecord, 'agreementId' | 'role'>) => `agreement:${a.role}:${a.agreementId}`
export const feedKey = (owner: NodeId) => `agreement-events:${owner}`

export type MoveFacts = Omit<AgreementChanges, 'state'>

/**
 * The one place where agreements change: a legal move, the row and its event in one transaction, then the news to
 * those who wait or listen.
 */
export interface Ledger {
  /** The record as one party keeps it. */
  find(agreementId: string, role: Role): AgreementRecord | undefined
  /** Our record of it, in the given role or either. Throws `bad-id` or `agreement-not-found`. Expires it when due. */
  require(owner: NodeId, agreementId: string, role?: Role): AgreementRecord
  /** Makes a move. Throws `wrong-state` when the present state has no such move. */
  move(agreement: AgreementRecord, move: AgreementMove, facts?: MoveFacts): AgreementRecord
  /** Changes facts other than the state. */
  note(agreement: AgreementRecord, facts: MoveFacts): AgreementRecord
  /** The record as it is now; expired if its time has come. */
  current(agreement: Pick<AgreementRecord, 'agreementId' | 'role'>): AgreementRecord
  listen(listener: (change: AgreementChange) => void): () => void
}

const EVENT_OF: Partial<Record<AgreementMove, AgreementEventKind>> = {
  commit: 'approved',
  reject: 'rejected',
  cancel: 'cancelled',
  terminate: 'terminated',
}

export function createLedger(context: MarketContext): Ledger {
  const { store, instants, wakeups } = context
  const listeners = new Set<(change: AgreementChange) => void>()

  const write = (agreement: AgreementRecord, move: AgreementMove, facts: MoveFacts): AgreementRecord =>
    store.transaction(() => {
      const changes = { isInDoubt: false, ...facts, state: moved(agreement, move) }
      store.agreements.update(agreement.agreementId, agreement.role, changes)
      const kind = EVENT_OF[move]
      if (kind) {
        store.agreements.appendEvent({
          atUs: instants.next(),
          agreementId: agreement.agreementId,
          role: agreement.role,
          kind,
          terminator: facts.terminator ?? null,
          reason: facts.reason ?? null,
        })
      }
      return { ...agreement, ...changes }
    })
  const tell = (agreement: AgreementRecord, move: AgreementMove, facts: MoveFacts) => {
    wakeups.wake(agreementKey(agreement))
    const kind = EVENT_OF[move]
    if (kind === undefined) return
    wakeups.wake(feedKey(agreement.ownerId))
    count(context, agreement, kind, facts.reason ?? NO_REASON)
    const change: AgreementChange = {
      kind,
      agreement: agreementView(agreement),
      ...(facts.terminator && { terminator: facts.terminator }),
      ...(facts.reason && { reason: facts.reason }),
    }
    for (const listener of [...listeners]) call(context, listener, change)
  }
  const move: Ledger['move'] = (agreement, name, facts = {}) => {
    const after = write(agreement, name, facts)
    tell(after, name, facts)
    return after
  }
  const expireIfDue = (agreement: AgreementRecord): AgreementRecord => {
    // Between approval and commit the peer may have the last word already: it is settled with the peer instead.
    const isDue = agreement.state !== 'Approving' && isOverdue(agreement, context.clock.nowMs())
    return isDue ? move(agreement, 'expire') : agreement
  }
  return {
    find: (agreementId, role) => store.agreements.get(agreementId, role),
    require: (owner, agreementId, role) => expireIfDue(ownedBy(context, owner, agreementId, role)),
    move,
    note: (agreement, facts) => {
      store.agreements.update(agreement.agreementId, agreement.role, facts)
      return { ...agreement, ...facts }
    },
    current: ({ agreementId, role }) => {
      const found = store.agreements.get(agreementId, role)
      if (!found) throw notFound(agreementId)
      return expireIfDue(found)
    },
    listen: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

export function isOverdue(agreement: AgreementRecord, nowMs: number, marginMs = 0): boolean {
  return isAgreementOverdue(agreement.state, agreement.validToUs as InstantUs, nowMs, marginMs)
}

/** The refusal of an action that the state does not allow. */
export function wrongState(agreement: AgreementRecord, message?: string): MarketError {
  const { agreementId, state } = agreement
  if (state === 'Expired') return expired(agreement)
  const text = message ?? `Agreement [${agreementId}] is in state ${state}; this is not possible any more or not yet.`
  return new MarketError('wrong-state', text, { agreementId, state })
}

/** The refusal of an action on an agreement whose `validTo` has passed. */
export function expired({ agreementId, state }: AgreementRecord): MarketError {
  return new MarketError('agreement-expired', `Agreement [${agreementId}] expired.`, { agreementId, state })
}

function moved(agreement: AgreementRecord, move: AgreementMove) {
  try {
    return transitionAgreement(agreement.state, move)
  } catch (error) {
    if (error instanceof StateError) throw wrongState(agreement)
    throw error
  }
}

function ownedBy({ store }: MarketContext, owner: NodeId, agreementId: string, role?: Role): AgreementRecord {
  if (!parseAgreementId(agreementId)) {
    const message = `Invalid Agreement id. ${JSON.stringify(agreementId)} is not 64 hex digits.`
    throw new MarketError('bad-id', message, { agreementId })
  }
  for (const each of role ? [role] : (['requestor', 'provider'] as const)) {
    const found = store.agreements.get(agreementId, each)
    if (found?.ownerId === owner) return found
  }
  throw notFound(agreementId)
}

function notFound(agreementId: string): MarketError {
  return new MarketError('agreement-not-found', `Agreement [${agreementId}] not found.`, { agreementId })
}

function count({ funnels }: MarketContext, agreement: AgreementRecord, kind: AgreementEventKind, reason: Reason): void {
  const subscription = agreement.role === 'provider' ? agreement.offerId : agreement.demandId
  if (kind === 'approved') funnels.add(subscription, kindOf(agreement.role), { step: 'agreementsSigned' })
  else if (kind !== 'terminated') {
    const why = `${kind}: ${reason.message}`
    funnels.add(subscription, kindOf(agreement.role), { step: 'agreementsLost', why })
  }
}

/** A listener's failure is its own: the agreement has changed already. */
function call({ logger }: MarketContext, listener: (change: AgreementChange) => void, change: AgreementChange): void {
  try {
    listener(change)
  } catch (error) {
    logger.error('an agreement listener failed', { agreementId: change.agreement.agreementId, error: String(error) })
  }
}
