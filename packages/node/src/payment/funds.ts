/**
 * Is there enough? Asking the chain takes time, in which money may be ordered or arrive: then the answer is thrown away
 * and asked for again, so that what is decided in the transaction rests on a balance that fits the books.
 */
import { formatAmount, type NodeId } from '@emet/core'
import { type Context, driverOf } from './context.ts'
import type { DriverStatus, FundsCheck } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { FUNDS_CHECKS_MAX } from './options.ts'
import { findPlatform, sharedPlatforms } from './platform.ts'
import { remainingOf } from './records.ts'

/** So much more of an account. */
export type Wish = { readonly platform: string; readonly address: NodeId; readonly amountWei: bigint }

export interface Funds {
  /** Runs `keep` in a transaction, if the account holds the amount beside everything that is reserved. */
  reserve(wish: Wish, keep: () => void, signal: AbortSignal | undefined): Promise<void>
  /** Tells that money of an account was ordered or settled: checks under way begin anew. */
  moved(platform: string, address: NodeId): void
  /** Accounts that were seen without the coin that pays fees. */
  gasWarnings(): readonly DriverStatus[]
}

export function createFunds(context: Context): Funds {
  const { store, deps, options } = context
  const logger = deps.logger.child({ part: 'funds' })
  const movements = new Map<string, number>()
  const gasWarnings = new Map<string, DriverStatus>()

  /** One key for all platforms that draw on the same money. */
  const keyOf = (platform: string, address: NodeId): string =>
    `${sharedPlatforms(deps.drivers, platform).sort().join(' ')} ${address}`
  const heldWei = (platform: string, address: NodeId): bigint =>
    store.allocations
      .activeOn(platform, address)
      .reduce((sum, allocation) => sum + remainingOf(allocation), store.orders.unorderedWei(platform, address))
  /** Held by others on the account: remainders, and accepted amounts that the driver does not know of yet. */
  const reservedWei = (platform: string, address: NodeId): bigint =>
    sharedPlatforms(deps.drivers, platform).reduce((sum, each) => sum + heldWei(each, address), 0n)

  const reserve: Funds['reserve'] = async (wish, keep, signal) => {
    const key = keyOf(wish.platform, wish.address)
    for (let round = 0; round < FUNDS_CHECKS_MAX; round++) {
      const movement = movements.get(key)
      const check = options.skipAllocationValidation ? undefined : await checkFunds(wish, signal)
      const isKept = store.transaction(() => {
        if (movements.get(key) !== movement) return false
        if (check) checkEnough(wish, check, reservedWei(wish.platform, wish.address))
        keep()
        return true
      })
      if (isKept) return
    }
    throw new PaymentError('driver-failed', 'money keeps moving on the account; try again', { ...wish })
  }
  const checkFunds = async (wish: Wish, signal: AbortSignal | undefined): Promise<FundsCheck> => {
    const { platform, address, amountWei } = wish
    const driver = driverOf(context, platform)
    const reserved = reservedWei(platform, address)
    try {
      const check = await driver.checkFunds(
        { platform, address, amountWei, reservedWei: reserved },
        { ...(signal ? { signal } : {}) },
      )
      noteGas(wish, check)
      return check
    } catch (cause) {
      const message = `the balance of ${address} on ${platform} cannot be read; is the network reachable?`
      throw new PaymentError('driver-failed', message, { platform, address }, { cause })
    }
  }
  const noteGas = ({ platform, address }: Wish, check: FundsCheck) => {
    const key = `${platform} ${address}`
    if (check.hasGas) return void gasWarnings.delete(key)
    const neededGasEst = formatAmount(check.gasNeededWei)
    const found = findPlatform(deps.drivers, platform)
    if (!found) return
    const { driver, network } = found
    logger.warn('the account has tokens reserved but no gas to send them; fund it', { platform, address, neededGasEst })
    gasWarnings.set(key, { kind: 'InsufficientGas', driver: driver.name, network: network.name, address, neededGasEst })
  }

  return {
    reserve,
    moved: (platform, address) => {
      const key = keyOf(platform, address)
      movements.set(key, (movements.get(key) ?? 0) + 1)
    },
    gasWarnings: () => [...gasWarnings.values()],
  }
}

function checkEnough({ amountWei, ...account }: Wish, check: FundsCheck, reservedWei: bigint): void {
  const freeWei = check.balanceWei - check.scheduledWei - reservedWei
  if (amountWei <= freeWei) return
  const [requested, available, reserved] = [amountWei, freeWei > 0n ? freeWei : 0n, reservedWei + check.scheduledWei]
  const message = `Insufficient funds: requested ${formatAmount(requested)}, available ${formatAmount(available)} (${formatAmount(reserved)} is reserved by other allocations and payments)`
  throw new PaymentError('insufficient-funds', message, {
    platform: account.platform,
    address: account.address,
    requestedFunds: formatAmount(requested),
    availableFunds: formatAmount(available),
    reservedFunds: formatAmount(reserved),
  })
}
