/** Accounts: what the identities of this node hold on each network, and how much of it is promised. */
import type { PaymentNetworkDocument, PaymentStatusDocument } from '@emet/api'
import { type Account, type DriverStatusProperty, fromMs, messageOf, type NodeId } from '@emet/core'
import type { AllocationService } from './allocations.ts'
import type { Context } from './context.ts'
import type { DriverNetwork, PaymentDriver } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { type ResolvedPlatform, resolvePlatform } from './platform.ts'
import { type AgreementTotals, remainingOf } from './records.ts'
import type { Accounts } from './types.ts'

export function createAccounts(context: Context, allocations: AllocationService): Accounts {
  const { store, deps } = context
  const accountsOf = (address: NodeId): Account[] =>
    deps.drivers.flatMap((driver) =>
      driver.networks().flatMap((network) => network.tokens.map((token) => toAccount(driver, network, token, address))),
    )
  const resolve = (network: string | undefined, driverName: string | undefined): ResolvedPlatform => {
    const driver = driverName === undefined ? deps.drivers[0] : deps.drivers.find(({ name }) => name === driverName)
    const standard = driver?.networks().find(({ isDefault }) => isDefault) ?? driver?.networks()[0]
    return resolvePlatform(deps.drivers, {
      driver: driver?.name ?? driverName,
      network: network ?? standard?.name,
      token: undefined,
    })
  }

  return {
    requestor: accountsOf,
    provider: () => deps.signer.ids().flatMap(accountsOf),
    driverStatus: ({ driver: driverName, network }) => {
      const drivers = deps.drivers.filter(({ name }) => driverName === undefined || name === driverName)
      const isKnown = (driver: PaymentDriver) =>
        network === undefined || driver.networks().some(({ name }) => name === network)
      const asked = drivers.filter(isKnown)
      if (asked.length === 0) return undefined
      const blocked = asked.flatMap((driver) => driver.status(network))
      const isAsked = (item: DriverStatusProperty) =>
        (driverName === undefined || item.driver === driverName) &&
        (network === undefined || !('network' in item) || item.network === network)
      return distinct([...blocked, ...allocations.gasWarnings().filter(isAsked)])
    },
    networks: () =>
      deps.drivers.flatMap((driver) =>
        driver.networks().flatMap((network) =>
          network.tokens.map(
            (token): PaymentNetworkDocument => ({
              driver: driver.name,
              network: network.name,
              chainId: network.chainId,
              token: token.symbol,
              tokenAddress: token.address,
              platform: token.platform,
              isTestnet: network.isTestnet,
              canFund: network.hasFaucet,
            }),
          ),
        ),
      ),
    status: async (owner, { network: networkName, driver: driverName, afterUs = -1 }, { signal } = {}) => {
      const { driver, network, platform } = resolve(networkName, driverName)
      const balance = await driver.balance(owner, platform, signal ? { signal } : {}).catch((cause: unknown) => {
        const message = `the balance of ${owner} on ${platform} cannot be read: ${messageOf(cause)}`
        throw new PaymentError('driver-failed', message, { platform, address: owner }, { cause })
      })
      const reserved = store.allocations.activeOn(platform, owner).reduce((sum, a) => sum + remainingOf(a), 0n)
      const agreements = store.totals
        .agreements(owner)
        .filter((agreement) => agreement.platform === platform && agreement.createdUs > afterUs)
      return {
        driver: driver.name,
        network: network.name,
        token: balance.tokenSymbol,
        platform,
        address: owner,
        amount: balance.tokenWei,
        reserved,
        gas: { currencyShortName: balance.gasSymbol, balance: balance.gasWei },
        incoming: flowOf(agreements.filter(({ role }) => role === 'provider')),
        outgoing: flowOf(agreements.filter(({ role }) => role === 'requestor')),
        blockNumber: balance.blockNumber,
        blockTime: fromMs(balance.blockTimeMs),
      }
    },
    fund: async (owner, { network: networkName, driver: driverName, mintOnly, onProgress }, { signal } = {}) => {
      const { driver, network } = resolve(networkName, driverName)
      const request = {
        address: owner,
        network: network.name,
        ...(mintOnly === undefined ? {} : { mintOnly }),
        ...(onProgress ? { onProgress } : {}),
      }
      return driver.fund(request, signal ? { signal } : {})
    },
  }
}

function toAccount(
  driver: PaymentDriver,
  network: DriverNetwork,
  token: DriverNetwork['tokens'][number],
  address: NodeId,
): Account {
  return {
    platform: token.platform,
    address,
    driver: driver.name,
    network: network.name,
    token: token.symbol,
    send: true,
    receive: true,
  }
}

/** Golem: requested is what was due, confirmed what was paid; each with its number of agreements. */
function flowOf(agreements: readonly AgreementTotals[]): PaymentStatusDocument['incoming'] {
  const total = (amountOf: (agreement: AgreementTotals) => bigint) => {
    const amounts = agreements.map(amountOf).filter((amount) => amount > 0n)
    return { totalAmount: amounts.reduce((a, b) => a + b, 0n), agreementsCount: amounts.length }
  }
  return {
    requested: total(({ dueWei }) => dueWei),
    accepted: total(({ acceptedWei }) => acceptedWei),
    confirmed: total(({ paidWei }) => paidWei),
  }
}

function distinct(items: readonly DriverStatusProperty[]): DriverStatusProperty[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()]
}
