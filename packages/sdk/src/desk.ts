import { type AgreementTerminatedEvent, fromMs, type InstantUs, messageOf } from '@emet/core'
import type { Account } from './account.ts'
import type { SdkDeps } from './daemon.ts'
import { isRefusal } from './daemon-errors.ts'
import { POLL_PAUSE_MS, POLL_SECONDS } from './limits.ts'
import { insist } from './scope.ts'

/** Who is told what happens to an agreement. */
export type Watcher = { readonly account: Account; terminated(event: AgreementTerminatedEvent): void }

/** Follows the daemon's events of agreements, debit notes and invoices, and hands them to the rental they belong to. */
export interface Desk {
  /** Starts to watch an agreement. The returned function ends it. */
  watch(agreementId: string, watcher: Watcher): () => void
  stop(): Promise<void>
}

/** How far back events are read at first, for what happens while we connect. */
const LOOK_BACK_MS = 60_000

export function createDesk(deps: SdkDeps): Desk {
  const { client, clock, log } = deps
  const watchers = new Map<string, Watcher>()
  const stopping = new AbortController()
  const { signal } = stopping
  let following: Promise<unknown> | undefined

  const follow = async <E extends { readonly eventDate: InstantUs }>(
    poll: (query: { timeout: number; afterTimestamp: InstantUs; maxEvents: number }) => Promise<readonly E[]>,
    handle: (event: E) => Promise<void>,
  ) => {
    let afterTimestamp = fromMs(clock.nowMs() - LOOK_BACK_MS)
    while (!signal.aborted) {
      const askedMs = clock.monotonicMs()
      const events = await poll({ timeout: POLL_SECONDS, afterTimestamp, maxEvents: 100 }).catch((error) => {
        if (!signal.aborted) log.debug('events could not be read', { error: messageOf(error) })
        return []
      })
      for (const event of events) {
        afterTimestamp = event.eventDate
        await handle(event).catch((error) =>
          log.warn('an event could not be handled', { event, error: messageOf(error) }),
        )
      }
      const isQuick = clock.monotonicMs() - askedMs < POLL_PAUSE_MS
      if (events.length === 0 && isQuick) await clock.sleep(POLL_PAUSE_MS, signal).catch(() => {})
    }
  }
  /** An event comes once: a daemon that is away for a moment must not lose it. */
  const fetch = <T>(attempt: () => Promise<T>) => insist(clock, signal, POLL_PAUSE_MS, isRefusal, attempt)
  const followAll = () =>
    Promise.all([
      follow(
        (query) => client.market.getAgreementEvents({ query, signal }),
        async (event) => {
          if (event.eventType === 'AgreementTerminatedEvent') watchers.get(event.agreementId)?.terminated(event)
        },
      ),
      follow(
        (query) => client.payment.getDebitNoteEvents({ query, signal }),
        async ({ eventType, debitNoteId }) => {
          if (eventType !== 'DebitNoteReceivedEvent') return
          const note = await fetch(() => client.payment.getDebitNote({ params: { debitNoteId }, signal }))
          await watchers.get(note.agreementId)?.account.debitNote(note)
        },
      ),
      follow(
        (query) => client.payment.getInvoiceEvents({ query, signal }),
        async ({ eventType, invoiceId }) => {
          if (eventType !== 'InvoiceReceivedEvent') return
          const invoice = await fetch(() => client.payment.getInvoice({ params: { invoiceId }, signal }))
          await watchers.get(invoice.agreementId)?.account.invoice(invoice)
        },
      ),
    ])
  return {
    watch: (agreementId, watcher) => {
      watchers.set(agreementId, watcher)
      following ??= followAll()
      return () => void watchers.delete(agreementId)
    },
    stop: async () => {
      stopping.abort()
      await following
    },
  }
}
