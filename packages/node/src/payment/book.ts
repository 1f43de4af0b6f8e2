/**
 * Bookkeeping: the sums of agreements and activities, and what follows from them for documents. Every function must run
 * inside a transaction of its caller.
 */
import type { DocumentMove, NodeId, Role } from '@emet/core'
import { type Context, nowUs } from './context.ts'
import { isPromised, nextStatus } from './document.ts'
import { PaymentError } from './errors.ts'
import type { ActivityTotals, AgreementTotals, PaymentDocument, PaymentShare, Sums } from './records.ts'
import type { Terms } from './terms.ts'
import type { AgreementFacts } from './types.ts'

const NOTHING: Sums = { dueWei: 0n, acceptedWei: 0n, scheduledWei: 0n, paidWei: 0n }

/** Fixes the terms of an agreement with its first document. Returns its sums. */
export function openAgreement(
  { store, ...context }: Context,
  owner: NodeId,
  role: Role,
  facts: AgreementFacts,
  terms: Terms,
): AgreementTotals {
  const atUs = nowUs({ store, ...context })
  store.totals.insertAgreement({
    ...NOTHING,
    ...terms,
    owner,
    role,
    agreementId: facts.agreementId,
    peerId: role === 'provider' ? facts.requestorId : facts.providerId,
    appSessionId: facts.appSessionId,
    createdUs: atUs,
    updatedUs: atUs,
  })
  return agreementTotals({ store, ...context }, owner, role, facts.agreementId)
}

export function openActivity(
  context: Context,
  owner: NodeId,
  role: Role,
  id: string,
  agreementId: string,
): ActivityTotals {
  const atUs = nowUs(context)
  const activity = { ...NOTHING, owner, role, activityId: id, agreementId, createdUs: atUs, updatedUs: atUs }
  context.store.totals.insertActivity(activity)
  return activityTotals(context, owner, role, id)
}

function agreementTotals({ store }: Context, owner: NodeId, role: Role, id: string): AgreementTotals {
  const found = store.totals.agreement(owner, role, id)
  if (found) return found
  throw new PaymentError('not-found', `nothing was ever due for agreement ${id}`, { agreementId: id })
}

function activityTotals({ store }: Context, owner: NodeId, role: Role, id: string): ActivityTotals {
  const found = store.totals.activity(owner, role, id)
  if (found) return found
  throw new PaymentError('not-found', `nothing was ever due for activity ${id}`, { activityId: id })
}

/** What an acceptance of the document promises beyond what was promised before; negative when that was more. */
export function unacceptedWei(context: Context, document: PaymentDocument): bigint {
  const { owner, role, agreementId, activityId, amountWei } = document
  const sums =
    activityId === undefined
      ? agreementTotals(context, owner, role, agreementId)
      : activityTotals(context, owner, role, activityId)
  return amountWei - sums.acceptedWei
}

/** Raises what is due to the document's total. A lower total changes nothing. */
export function bookDue(context: Context, document: PaymentDocument): void {
  const { owner, role, agreementId, activityId, amountWei } = document
  const agreement = agreementTotals(context, owner, role, agreementId)
  if (activityId === undefined) {
    const more = amountWei - agreement.dueWei
    if (more > 0n) addSums(context, agreement, { dueWei: more })
    return
  }
  const activity = activityTotals(context, owner, role, activityId)
  const more = amountWei - activity.dueWei
  if (more > 0n) addSums(context, agreement, { dueWei: more }, activity)
}

/** Raises what is accepted to the document's total; returns by how much. */
export function bookAccepted(context: Context, document: PaymentDocument): bigint {
  const more = unacceptedWei(context, document)
  if (more <= 0n) return 0n
  const { owner, role, agreementId, activityId } = document
  const agreement = agreementTotals(context, owner, role, agreementId)
  const activity = activityId === undefined ? undefined : activityTotals(context, owner, role, activityId)
  addSums(context, agreement, { acceptedWei: more }, activity)
  return more
}

/** Adds shares to one of the sums (`sign` -1 takes them away again). */
export function bookShares(
  context: Context,
  owner: NodeId,
  role: Role,
  sum: 'scheduledWei' | 'paidWei',
  shares: readonly Omit<PaymentShare, 'allocationId'>[],
  sign: 1n | -1n = 1n,
): void {
  for (const { agreementId, activityId, amountWei } of shares) {
    const agreement = agreementTotals(context, owner, role, agreementId)
    const activity = activityId === undefined ? undefined : activityTotals(context, owner, role, activityId)
    addSums(context, agreement, { [sum]: sign * amountWei }, activity)
  }
}

function addSums(context: Context, agreement: AgreementTotals, more: Partial<Sums>, activity?: ActivityTotals): void {
  const atUs = nowUs(context)
  context.store.totals.updateAgreement({ ...agreement, ...plus(agreement, more) }, atUs)
  if (activity) context.store.totals.updateActivity({ ...activity, ...plus(activity, more) }, atUs)
}

function plus(sums: Sums, more: Partial<Sums>): Sums {
  return {
    dueWei: sums.dueWei + (more.dueWei ?? 0n),
    acceptedWei: sums.acceptedWei + (more.acceptedWei ?? 0n),
    scheduledWei: sums.scheduledWei + (more.scheduledWei ?? 0n),
    paidWei: sums.paidWei + (more.paidWei ?? 0n),
  }
}

/** Moves a document on, and tells whoever listens. Returns it in its new state. */
export function move(
  context: Context,
  document: PaymentDocument,
  how: DocumentMove,
  details?: unknown,
): PaymentDocument {
  const status = nextStatus(document, how)
  context.store.documents.setStatus(document, status, nowUs(context))
  const moved = { ...document, status }
  if (how !== 'send' && how !== 'unsettle') announce(context, moved, EVENT_OF[how], details)
  return moved
}

const EVENT_OF = { accept: 'ACCEPTED', reject: 'REJECTED', cancel: 'CANCELLED', settle: 'SETTLED' } as const

/** Appends an event about a document. */
export function announce(
  { store, feed }: Context,
  document: PaymentDocument,
  type: (typeof EVENT_OF)[keyof typeof EVENT_OF] | 'RECEIVED' | 'PAYMENT_EVENT' | 'PAYMENT_OK',
  details?: unknown,
): void {
  const { owner, role, kind, id, agreementId } = document
  const appSessionId = store.totals.agreement(owner, role, agreementId)?.appSessionId
  feed.append({ owner, role, kind, documentId: id, type, appSessionId, details })
}

/** Settles the document if what was paid covers it: at once when nothing was left to pay. */
export function settleIfPaid(context: Context, document: PaymentDocument): PaymentDocument {
  return document.status === 'ACCEPTED' && isCovered(context, document) ? move(context, document, 'settle') : document
}

/** Settles whatever of the agreements is covered now; where a payment was taken back, un-settles what is not. */
export function settleAgreements(context: Context, owner: NodeId, role: Role, agreementIds: Iterable<string>): void {
  for (const agreementId of new Set(agreementIds)) {
    for (const kind of ['debit-note', 'invoice'] as const) {
      for (const document of context.store.documents.ofAgreement(owner, role, kind, agreementId)) {
        if (!isPromised(document.status)) continue
        const covered = isCovered(context, document)
        if (covered && document.status === 'ACCEPTED') move(context, document, 'settle')
        if (!covered && document.status === 'SETTLED') move(context, document, 'unsettle')
      }
    }
  }
}

function isCovered(context: Context, { owner, role, agreementId, activityId, amountWei }: PaymentDocument): boolean {
  const agreement = agreementTotals(context, owner, role, agreementId)
  if (activityId === undefined) return amountWei <= agreement.paidWei
  return amountWei <= activityTotals(context, owner, role, activityId).paidWei
}
