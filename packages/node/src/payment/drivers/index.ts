/** Payment drivers: the interface (`types.ts`, a page), the real one (`erc20/`), and one in memory (`mock/`). */
export { DriverError, type DriverErrorCode } from './errors.ts'
export { createMockDriver, createMockLedger, type MockDriver, type MockLedger } from './mock/index.ts'
export type {
  AccountBalance,
  ConfirmedTransfer,
  DriverCapabilities,
  DriverNetwork,
  DriverStatus,
  DriverToken,
  FundRequest,
  FundsCheck,
  FundsRequest,
  OrderProgress,
  PaymentDriver,
  PaymentOrder,
  PendingTransfer,
  RefusalReason,
  RefusedTransfer,
  Settlement,
  TransferClaim,
  TransferLog,
  TransferRequest,
  Verification,
  VerifyOptions,
  VerifyRequest,
} from './types.ts'
export { ORDER_ID_LENGTH_MAX } from './types.ts'
