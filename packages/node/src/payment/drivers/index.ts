/** Payment drivers: the interface (`types.ts`, a page), the real one (`erc20/`), and one in memory (`mock/`). */

export {
  createErc20Driver,
  DEFAULT_ERC20_OPTIONS,
  DEFAULT_NETWORK,
  ERC20_NETWORKS,
  type Erc20Deps,
  type Erc20Network,
  type Erc20Options,
  LOCAL_TIMING,
  networksFromEnvironment,
} from './erc20/index.ts'
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
