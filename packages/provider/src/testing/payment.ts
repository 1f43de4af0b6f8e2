import type { DebitNote, Invoice } from '@emet/core'
import type { ProviderClient } from '../types.ts'
import { type Book, failure, known } from './book.ts'
import { PLATFORM, PROVIDER_ID, REQUESTOR_ID } from './machine.ts'

const parties = {
  issuerId: PROVIDER_ID,
  recipientId: REQUESTOR_ID,
  payeeAddr: PROVIDER_ID,
  payerAddr: REQUESTOR_ID,
  paymentPlatform: PLATFORM,
}

/** The payment API over the book. */
export function createPayment({ owners, notes, invoices, settings, id, tick, call }: Book): ProviderClient['payment'] {
  const setNote = (debitNoteId: string, status: DebitNote['status']) => {
    const at = notes.findIndex((note) => note.debitNoteId === debitNoteId)
    const note = notes[at]
    if (note) notes[at] = { ...note, status }
  }
  return {
    getProviderAccounts: (given = {}) =>
      call('getProviderAccounts', given, () => [
        {
          platform: PLATFORM,
          address: PROVIDER_ID,
          driver: 'erc20',
          network: 'hoodi',
          token: 'tGLM',
          send: false,
          receive: true,
        },
      ]),
    listDebitNotes: (given = {}) =>
      call('listDebitNotes', given, () =>
        notes.filter(({ timestamp }) => timestamp > (given.query?.afterTimestamp ?? 0)),
      ),
    getDebitNote: (given) =>
      call('getDebitNote', given, () =>
        known(notes.find(({ debitNoteId }) => debitNoteId === given.params.debitNoteId)),
      ),
    issueDebitNote: (given) =>
      call('issueDebitNote', given, () => {
        const { activityId, totalAmountDue } = given.body
        const told = notes.filter((note) => note.activityId === activityId).at(-1)?.totalAmountDue ?? 0n
        if (totalAmountDue < told) throw failure(400)
        const agreementId = known(owners.get(activityId))
        const common = { debitNoteId: id('note'), agreementId, timestamp: tick(), status: 'ISSUED' as const }
        const note: DebitNote = { ...parties, ...given.body, ...common }
        notes.push(note)
        return note
      }),
    sendDebitNote: (given) =>
      call('sendDebitNote', given, () => {
        const status = { 'at-once': 'SETTLED', accepts: 'ACCEPTED', never: 'RECEIVED' } as const
        setNote(given.params.debitNoteId, status[settings.pays])
        return null
      }),
    listInvoices: (given = {}) =>
      call('listInvoices', given, () =>
        invoices.filter(({ timestamp }) => timestamp > (given.query?.afterTimestamp ?? 0)),
      ),
    issueInvoice: (given) =>
      call('issueInvoice', given, () => {
        const { agreementId, activityIds, amount, paymentDueDate } = given.body
        if (invoices.some((one) => one.agreementId === agreementId)) throw failure(400)
        const common = { invoiceId: id('invoice'), timestamp: tick(), status: 'ISSUED' as const }
        const invoice: Invoice = {
          ...parties,
          agreementId,
          activityIds: activityIds ?? [],
          amount,
          paymentDueDate,
          ...common,
        }
        invoices.push(invoice)
        return invoice
      }),
    sendInvoice: (given) =>
      call('sendInvoice', given, () => {
        const at = invoices.findIndex(({ invoiceId }) => invoiceId === given.params.invoiceId)
        const invoice = known(invoices[at])
        invoices[at] = { ...invoice, status: 'RECEIVED' }
        return null
      }),
  }
}
