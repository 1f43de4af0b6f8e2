/**
 * # Payment
 *
 * Decides whom to pay how much and when, and keeps the books of both roles; payment drivers (`drivers/`) move the money.
 *
 *     requestor                                              provider
 *       allocation: funds reserved
 *                                  <--- SendDebitNote ---      debit notes: cumulative, one chain per activity
 *       accept: allocation -> obligation
 *                                   --- AcceptDebitNote -->    accepted
 *                                  <--- SendInvoice ------     invoice: the whole agreement, once
 *       accept                      --- AcceptInvoice ---->    accepted
 *       cycle: obligations -> orders (one per payee)
 *       driver: orders -> transfer, settled
 *       Payment, signed             --- SendPayment ------>    look on the chain, claim the transfer, book
 *       documents SETTLED                                      documents SETTLED
 *
 * ## What always holds
 *
 * - **No overspending.** An allocation's spent never exceeds its total; remainders of active allocations, accepted
 *   amounts not yet ordered and orders not yet settled together fit the balance seen when the last one was made.
 * - **No leak.** What an allocation has not spent is free the moment it is released, or its time is up, also while the
 *   node was off.
 * - **Paid exactly once.** Obligation -> order -> driver is one transaction; the order's id is the driver's; a settlement
 *   told twice finds its orders paid. The payee claims a transfer in the transaction that books the payment.
 * - **Exact or nothing.** A document is accepted with its very amount. Totals are cumulative and never lowered.
 * - **Nothing is forgotten.** What a peer must hear of lies in the outbox until it has confirmed it (`delivery.ts`).
 *
 * Accepting a debit note without a due date promises the money; it is paid when a note with a due date, or the invoice,
 * is accepted. A document that costs nothing, or that is paid for already, settles with its acceptance.
 *
 * ## Life
 *
 *     const payment = createPayment(deps, { testnetCycleIntervalMs: 0 })     // 0: pay as soon as accepted
 *     await payment.start()    // starts the drivers; recovers allocations, orders, the outbox, announced payments
 *     await payment.stop()     // stops the drivers; nothing is left running
 *
 * What is kept how long: `options.ts` (retention).
 */
export {
  createErc20Driver,
  createMockDriver,
  createMockLedger,
  DriverError,
  type DriverErrorCode,
  ERC20_NETWORKS,
  type Erc20Deps,
  type Erc20Network,
  type Erc20Options,
  LOCAL_TIMING,
  type MockDriver,
  type MockLedger,
  networksFromEnvironment,
  type PaymentDriver,
} from './drivers/index.ts'
export { PaymentError, type PaymentErrorCode } from './errors.ts'
export { type PaymentOptions, type PaymentOptionsInput, paymentOptionsSchema } from './options.ts'
export { createPayment } from './payment.ts'
export { emetPaymentRoutes, paymentRoutes } from './routes.ts'
export type {
  Accounts,
  ActivitySource,
  AgreementFacts,
  AgreementSource,
  Allocations,
  Batches,
  Documents,
  PaymentDeps,
  PaymentService,
  Payments,
  Sheets,
} from './types.ts'
