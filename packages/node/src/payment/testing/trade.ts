/** What the tests' agents do on a world of two nodes, in short words. Amounts in whole GLM. */
import { PaymentError, type PaymentErrorCode } from '../errors.ts'
import { ACTIVITY, AGREEMENT, GLM, PLATFORM, type World } from './index.ts'

export type Kind = 'debitNotes' | 'invoices'
export type Side = 'requestor' | 'provider'

export function tradeOn(world: World) {
  const allocate = (glm = 10n) =>
    world.requestor.payment.allocations.create(world.requestor.id, {
      address: undefined,
      paymentPlatform: PLATFORM,
      totalAmount: glm * GLM,
      timeout: undefined,
      deposit: undefined,
      makeDeposit: undefined,
      extendTimeout: undefined,
    })
  const note = (glm: bigint, due?: number) => {
    const { payment, id } = world.provider
    const usage = { usageCounterVector: [1, 2.5], paymentDueDate: due }
    return payment.debitNotes.issue(id, { activityId: ACTIVITY, totalAmountDue: glm * GLM, ...usage })
  }
  const invoice = (glm: bigint) => {
    const { payment, id } = world.provider
    const paymentDueDate = (world.clock.nowMs() + 1_000_000) * 1000
    return payment.invoices.issue(id, {
      agreementId: AGREEMENT,
      activityIds: [ACTIVITY],
      amount: glm * GLM,
      paymentDueDate,
    })
  }
  const accept = (kind: Kind, id: string, glm: bigint, allocationId: string) =>
    world.requestor.payment[kind].accept(world.requestor.id, id, { totalAmountAccepted: glm * GLM, allocationId })
  /** Sends an issued document of the provider. */
  const sendNote = async (glm: bigint, due?: number) => {
    const issued = note(glm, due)
    await world.provider.payment.debitNotes.send(world.provider.id, issued.debitNoteId)
    return issued.debitNoteId
  }
  const sendInvoice = async (glm: bigint) => {
    const issued = invoice(glm)
    await world.provider.payment.invoices.send(world.provider.id, issued.invoiceId)
    return issued.invoiceId
  }
  const statusOf = (side: Side, kind: Kind, id: string) => world[side].payment[kind].get(world[side].id, id).status
  const balances = () => [world.requestor.id, world.provider.id].map((id) => world.ledger.balance(id, PLATFORM) / GLM)
  const eventsOf = async (side: Side, kind: Kind) => {
    const all = ['RECEIVED', 'ACCEPTED', 'REJECTED', 'CANCELLED', 'SETTLED', 'PAYMENT_EVENT', 'PAYMENT_OK'] as const
    const { payment, id } = world[side]
    const events = await payment[kind].events(id, { timeoutMs: 0, requestorKinds: all, providerKinds: all })
    return events.map(({ eventType }) => eventType.replace(/^(Invoice|DebitNote)(.*)Event$/, '$2'))
  }
  return { allocate, note, invoice, accept, sendNote, sendInvoice, statusOf, balances, eventsOf }
}

/** The code of the `PaymentError` that `work` throws. */
export const codeOf = async (work: () => unknown): Promise<PaymentErrorCode | 'nothing thrown'> => {
  try {
    await work()
  } catch (error) {
    if (error instanceof PaymentError) return error.code
    throw error
  }
  return 'nothing thrown'
}
