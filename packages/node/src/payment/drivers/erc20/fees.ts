/** What to offer for gas (EIP-1559). Pure. */
import type { FeeMarket } from '../../chain/index.ts'
import type { Erc20Network } from './networks.ts'

export type Fees = { readonly maxFeeWei: bigint; readonly priorityFeeWei: bigint }

type Limits = Pick<Erc20Network, 'maxFeeCapWei' | 'priorityFeeMinWei'>

/**
 * Nodes replace a waiting transaction only when both fees rise by a tenth or more. An eighth is safely above, also after
 * rounding, and is what block builders with their own rules ask for.
 */
const BUMP_DIVISOR = 8n

/** Gas on top of the estimate: a fifth, and a fixed part for calls whose storage changes before they are mined. */
export const withGasMargin = (estimate: bigint) => (estimate * 12n) / 10n + 5_000n

/**
 * Fees for a new transaction: the base fee may double before it gets stuck. Undefined while even the present base fee is
 * beyond the cap: sending would only block the account's nonce.
 */
export function chooseFees(market: FeeMarket, limits: Limits): Fees | undefined {
  const wanted = larger(market.priorityFeeWei, limits.priorityFeeMinWei)
  if (market.baseFeeWei + limits.priorityFeeMinWei > limits.maxFeeCapWei) return undefined
  const maxFeeWei = smaller(market.baseFeeWei * 2n + wanted, limits.maxFeeCapWei)
  return { maxFeeWei, priorityFeeWei: smaller(wanted, maxFeeWei) }
}

/**
 * Fees for another attempt with the same nonce: at least an eighth above the last attempt, and what the market asks for.
 * Undefined when the cap does not allow it.
 */
export function bumpFees(last: Fees, market: FeeMarket, limits: Limits): Fees | undefined {
  const maxFloor = raised(last.maxFeeWei)
  const priorityFloor = raised(last.priorityFeeWei)
  if (maxFloor > limits.maxFeeCapWei) return undefined
  const wanted = market.baseFeeWei * 2n + market.priorityFeeWei
  const maxFeeWei = smaller(larger(maxFloor, wanted), limits.maxFeeCapWei)
  const priority = larger(priorityFloor, market.priorityFeeWei)
  return priorityFloor > maxFeeWei ? undefined : { maxFeeWei, priorityFeeWei: smaller(priority, maxFeeWei) }
}

const raised = (fee: bigint) => fee + (fee + BUMP_DIVISOR - 1n) / BUMP_DIVISOR + 1n
const smaller = (left: bigint, right: bigint) => (left < right ? left : right)
const larger = (left: bigint, right: bigint) => (left < right ? right : left)
