import type { DocumentStatus } from '../documents/index.ts'
import { applyMove, type Move } from './machine.ts'

/** Debit notes and invoices go through the same states. */
export type DocumentKind = 'debit-note' | 'invoice'

/**
 *     provider:   ISSUED -> RECEIVED -> ACCEPTED -> SETTLED        requestor:   RECEIVED -> ACCEPTED -> SETTLED
 *                    \_________|--> REJECTED --> CANCELLED                         |--> REJECTED --> CANCELLED
 *                               \--> CANCELLED                                     \--> CANCELLED
 *
 * On the provider's side an ISSUED document may be decided on, too: the answer to `send` was lost, not the document.
 * FAILED, which the original wrote long ago, counts as RECEIVED. Golem REST: the original rejects and cancels invoices
 * only; its messages for debit notes exist, and we serve them.
 */
export type DocumentMove = 'send' | 'accept' | 'reject' | 'cancel' | 'settle' | 'unsettle'

const MOVES: Readonly<Record<DocumentMove, Move<DocumentStatus>>> = {
  send: { from: ['ISSUED'], to: 'RECEIVED' },
  accept: { from: ['ISSUED', 'RECEIVED', 'FAILED'], to: 'ACCEPTED' },
  reject: { from: ['ISSUED', 'RECEIVED', 'FAILED'], to: 'REJECTED' },
  cancel: { from: ['ISSUED', 'RECEIVED', 'REJECTED', 'FAILED'], to: 'CANCELLED' },
  settle: { from: ['ACCEPTED'], to: 'SETTLED' },
  // A reorganisation of the chain took the payment back.
  unsettle: { from: ['SETTLED'], to: 'ACCEPTED' },
}

/** The status after a move. Throws `StateError`, whose facts say where the move would be legal. */
export function transitionDocument(kind: DocumentKind, status: DocumentStatus, move: DocumentMove): DocumentStatus {
  return applyMove(kind === 'invoice' ? 'invoice' : 'debit note', MOVES[move], status, move)
}
