/**
 * Payment platforms: `<driver>-<network>-<token>`, lower case. Golem REST: a client may leave parts of it out; the
 * defaults below are the original's, odd as some are.
 */
import type { NewAllocation } from '@emet/core'
import type { DriverNetwork, PaymentDriver } from './drivers/types.ts'
import { PaymentError } from './errors.ts'

export type ResolvedPlatform = {
  readonly platform: string
  readonly driver: PaymentDriver
  readonly network: DriverNetwork
}

type Triple = Exclude<NonNullable<NewAllocation['paymentPlatform']>, string>

const DEFAULT_NETWORK = 'holesky'
const DEFAULT_DRIVER = 'erc20'
/** Where real GLM is meant when no network is named. */
const GLM_NETWORK = 'polygon'

/** The driver and network behind a client's wish. Throws `PaymentError` `bad-platform` saying which part is wrong. */
export function resolvePlatform(
  drivers: readonly PaymentDriver[],
  wish: NewAllocation['paymentPlatform'],
): ResolvedPlatform {
  const { driver: driverName, network: networkName, token } = toTriple(wish)
  const driver = drivers.find(({ name }) => name === driverName)
  if (!driver) {
    throw bad(wish, `unknown driver ${quote(driverName)}; known: ${drivers.map(({ name }) => name).join(', ')}`)
  }
  const network = driver.networks().find(({ name }) => name === networkName)
  if (!network) {
    const known = driver.networks().map(({ name }) => name)
    throw bad(wish, `unknown network ${quote(networkName)} of driver ${driverName}; known: ${known.join(', ')}`)
  }
  const found = token === undefined ? defaultToken(network) : tokenNamed(network, token)
  if (!found) {
    const known = network.tokens.map(({ symbol }) => symbol.toLowerCase())
    throw bad(wish, `unknown token ${quote(token)} on network ${networkName}; known: ${known.join(', ')}`)
  }
  return { platform: found.platform, driver, network }
}

/** The driver and network that serve a platform by its full name. */
export function findPlatform(drivers: readonly PaymentDriver[], platform: string): ResolvedPlatform | undefined {
  for (const driver of drivers) {
    for (const network of driver.networks()) {
      if (network.tokens.some((token) => token.platform === platform)) return { platform, driver, network }
    }
  }
  return undefined
}

/**
 * The platforms whose money is the same as this one's: they name the same token contract on the same chain. On a local
 * chain that stands in for several networks there is more than one. The platform itself comes first.
 */
export function sharedPlatforms(drivers: readonly PaymentDriver[], platform: string): string[] {
  const all = drivers.flatMap((driver) =>
    driver
      .networks()
      .flatMap(({ chainId, tokens }) =>
        tokens.map((token) => ({ platform: token.platform, purse: `${driver.name} ${chainId} ${token.address}` })),
      ),
  )
  const purse = all.find((one) => one.platform === platform)?.purse
  return [platform, ...all.filter((one) => one.purse === purse && one.platform !== platform).map((one) => one.platform)]
}

function toTriple(wish: NewAllocation['paymentPlatform']): {
  driver: string
  network: string
  token: string | undefined
} {
  if (typeof wish === 'string') {
    const parts = wish.split('-')
    const [driver = '', network = '', token = ''] = parts
    if (parts.length !== 3) throw bad(wish, `not of the form driver-network-token: ${quote(wish)}`)
    return { driver, network, token }
  }
  const { driver, network, token }: Triple = wish ?? { driver: undefined, network: undefined, token: undefined }
  return {
    driver: driver ?? DEFAULT_DRIVER,
    network: network ?? (token === 'glm' ? GLM_NETWORK : DEFAULT_NETWORK),
    token,
  }
}

const defaultToken = (network: DriverNetwork) => network.tokens.find(({ isDefault }) => isDefault) ?? network.tokens[0]

/** Golem REST: `GLM` and `tGLM` are refused, `glm` and `tglm` it must be. */
const tokenNamed = (network: DriverNetwork, token: string) =>
  network.tokens.find(({ symbol }) => symbol.toLowerCase() === token)

const quote = (value: unknown): string => JSON.stringify(value)

function bad(wish: unknown, reason: string): PaymentError {
  return new PaymentError('bad-platform', `payment platform: ${reason}`, {
    parseError: reason,
    requestedPaymentPlatform: wish,
  })
}
