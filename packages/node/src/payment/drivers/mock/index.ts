/**
 * A driver over a ledger in memory, for tests and simulations: payments settle by the clock, nothing leaves the process,
 * nothing survives it. Give the drivers of several nodes the same ledger, and each sees what the others paid.
 */
export { createMockDriver, type MockDriver, type MockDriverDeps, type MockDriverOptions } from './driver.ts'
export { createMockLedger, type LedgerTransfer, type MockLedger } from './ledger.ts'
