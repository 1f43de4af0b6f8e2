import type { DocumentKind, InstantUs, NodeId, PaymentEventKind } from '@emet/core'
import type { Database, Row } from '../store/index.ts'
import type { DocumentEvent } from './records.ts'
import { integer, json, limitOf, maybeInteger, maybeText, node, role, text, toJson } from './store-rows.ts'

export type EventQuery = {
  readonly owner: NodeId
  readonly kind: DocumentKind
  /** Only later ones. */
  readonly afterUs: InstantUs
  /** What a requestor, and what a provider, wants to hear of. */
  readonly requestorTypes: readonly PaymentEventKind[]
  readonly providerTypes: readonly PaymentEventKind[]
  readonly appSessionId?: string | undefined
  readonly max?: number | undefined
}

export interface EventStore {
  append(event: DocumentEvent): void
  /** Filters first, then limits; oldest first. */
  query(query: EventQuery): DocumentEvent[]
  lastUs(): InstantUs
  dropBefore(beforeUs: InstantUs): number
}

export function createEventStore(db: Database): EventStore {
  return {
    append: (e) => {
      db.run(
        'INSERT INTO payment_event VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        ...[e.atUs, e.owner, e.role, e.kind, e.documentId, e.type, e.appSessionId ?? null, toJson(e.details)],
      )
    },
    query: (q) => {
      const session = q.appSessionId ?? null
      return db
        .all(
          `SELECT * FROM payment_event WHERE owner = ? AND kind = ? AND at_us > ?
             AND ((role = 'requestor' AND type IN (SELECT value FROM json_each(?)))
               OR (role = 'provider' AND type IN (SELECT value FROM json_each(?))))
             AND (? IS NULL OR app_session_id = ?)
           ORDER BY at_us LIMIT ?`,
          ...[q.owner, q.kind, q.afterUs, JSON.stringify(q.requestorTypes), JSON.stringify(q.providerTypes)],
          ...[session, session, limitOf(q.max)],
        )
        .map(fromRow)
    },
    lastUs: () => {
      const row = db.get('SELECT MAX(at_us) AS last FROM payment_event')
      return (row && maybeInteger(row, 'last')) ?? 0
    },
    dropBefore: (beforeUs) => db.run('DELETE FROM payment_event WHERE at_us < ?', beforeUs),
  }
}

function fromRow(row: Row): DocumentEvent {
  return {
    atUs: integer(row, 'at_us'),
    owner: node(row, 'owner'),
    role: role(row),
    kind: text(row, 'kind') as DocumentKind,
    documentId: text(row, 'document_id'),
    type: text(row, 'type') as PaymentEventKind,
    appSessionId: maybeText(row, 'app_session_id'),
    details: json(row, 'details'),
  }
}
