/** Chains as payment drivers see them: the `Chain` port, JSON-RPC with fail-over behind it, call encoding and signing. */
export {
  encodeAllowance,
  encodeApprove,
  encodeBalanceOf,
  encodeCreate,
  encodeMultiPay,
  encodeTransfer,
  type Payout,
  parseTransfer,
  type TokenTransfer,
  TRANSFER_TOPIC,
} from './calls.ts'
export { ChainError, type ChainErrorCode } from './errors.ts'
export type { Fetch } from './rpc.ts'
export { createRpcChain } from './rpc-chain.ts'
export { type SignedTransaction, signTransaction, type UnsignedTransaction } from './signing.ts'
export type { Chain, ChainCall, ChainLog, FeeMarket, Head, Hex, Receipt, SendOutcome } from './types.ts'
