import type { DocumentStatus } from '../documents/index.ts'
import { applyMove, illegalMove, type Move } from './machine.ts'

/** Debit notes and invoices go through the same states, but only invoices can be rejected or cancelled. */
export type DocumentKind = 'debit-note' | 'invoice'

/**
 *     ISSUED --send--> RECEIVED --accept--> ACCEPTED --settle--> SETTLED
 *                         '--reject (invoice)--> REJECTED
 *     ISSUED, RECEIVED, REJECTED --cancel (invoice)--> CANCELLED
 *     FAILED, which the original wrote long ago, can still be accepted.
 *
 * The payer's copy begins as RECEIVED. A document over nothing is accepted and settled at once.
 */
export type DocumentMove = 'send' | 'accept' | 'reject' | 'cancel' | 'settle'

const MOVES: Readonly<Record<DocumentMove, Move<DocumentStatus>>> = {
  send: { from: ['ISSUED'], to: 'RECEIVED' },
  accept: { from: ['RECEIVED', 'FAILED'], to: 'ACCEPTED' },
  reject: { from: ['RECEIVED'], to: 'REJECTED' },
  cancel: { from: ['ISSUED', 'RECEIVED', 'REJECTED'], to: 'CANCELLED' },
  settle: { from: ['ACCEPTED'], to: 'SETTLED' },
}

/** The status after a move. Throws `StateError` when the status, or the kind of document, has no such move. */
export function transitionDocument(kind: DocumentKind, status: DocumentStatus, move: DocumentMove): DocumentStatus {
  if (kind === 'debit-note' && (move === 'reject' || move === 'cancel')) {
    throw illegalMove('debit note', status, move, ['an invoice'])
  }
  return applyMove(kind === 'invoice' ? 'invoice' : 'debit note', MOVES[move], status, move)
}

/** The status after the payer accepts `amount` (wei): a document over nothing needs no payment. */
export function acceptDocument(kind: DocumentKind, status: DocumentStatus, amount: bigint): DocumentStatus {
  const accepted = transitionDocument(kind, status, 'accept')
  return amount === 0n ? transitionDocument(kind, accepted, 'settle') : accepted
}

/** True when nothing can follow. */
export function isDocumentOver(status: DocumentStatus): boolean {
  return status === 'SETTLED' || status === 'CANCELLED'
}
