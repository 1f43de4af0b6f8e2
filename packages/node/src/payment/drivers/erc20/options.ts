/** Settings of the `erc20` driver: from code, and from the environment under Golem's names. */
import { z } from 'zod'
import { DriverError } from '../errors.ts'
import { DEFAULT_NETWORK, ERC20_NETWORKS, type Erc20Network, LOCAL_TIMING } from './networks.ts'

export type Erc20Options = {
  readonly networks: readonly Erc20Network[]
  readonly defaultNetwork: string
  /** How long a due order waits for others to share its transaction. */
  readonly gatherMs: number
  /** An order is sent so long before it is due. */
  readonly leadMs: number
  /** Between looks at a transaction in flight; unset: a third of the network's block time. */
  readonly pollMs?: number
  /** Without a receipt for so long, a transaction gets a higher fee. */
  readonly stuckMs: number
  /** First wait after trouble; it doubles up to `retryMaxMs`. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** How long someone else's use of our nonce must last before the orders are paid in another transaction. */
  readonly replacedMs: number
  /** The most payees of one transaction, whatever the gas. */
  readonly payeesMax: number
}

export const DEFAULT_ERC20_OPTIONS: Erc20Options = {
  networks: ERC20_NETWORKS,
  defaultNetwork: DEFAULT_NETWORK,
  gatherMs: 10_000,
  leadMs: 120_000,
  stuckMs: 60_000,
  retryMinMs: 1_000,
  retryMaxMs: 60_000,
  replacedMs: 60_000,
  payeesMax: 200,
}

const addressText = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/, 'must be 0x and 40 hex digits')
  .transform((text) => text.toLowerCase())
const wholeNumber = z.coerce.number().int().nonnegative()
const gweiText = z
  .string()
  .regex(/^\d+(\.\d{1,9})?$/, 'must be a decimal number of gwei')
  .transform((text) => {
    const [whole = '0', fraction = ''] = text.split('.')
    return BigInt(whole) * 10n ** 9n + BigInt(fraction.padEnd(9, '0'))
  })

const overrideSchema = z.object({
  rpcUrls: z
    .string()
    .transform((text) => text.split(',').map((url) => url.trim()))
    .pipe(z.array(z.url()).min(1))
    .optional(),
  chainId: wholeNumber.positive().optional(),
  token: addressText.optional(),
  multiPay: addressText.optional(),
  faucet: addressText.optional(),
  gasFaucetUrl: z.url().optional(),
  maxFeeCapWei: gweiText.optional(),
  priorityFeeMinWei: gweiText.optional(),
  confirmations: wholeNumber.optional(),
  isLocal: z.stringbool().optional(),
})

/** The variable for each setting of a network. Golem's names where it has them. */
function variablesOf(network: Erc20Network): Record<keyof z.infer<typeof overrideSchema>, string> {
  const name = network.name.toUpperCase()
  return {
    rpcUrls: `${name}_GETH_ADDR`,
    chainId: `${name}_CHAIN_ID`,
    token: `${name}_${network.token.symbol.toUpperCase()}_CONTRACT_ADDRESS`,
    multiPay: `${name}_MULTI_PAYMENT_CONTRACT_ADDRESS`,
    faucet: `${name}_FAUCET_CONTRACT_ADDRESS`,
    gasFaucetUrl: `${name}_GAS_FAUCET_URL`,
    maxFeeCapWei: `${name}_MAX_FEE_PER_GAS`,
    priorityFeeMinWei: `${name}_PRIORITY_FEE`,
    confirmations: `ERC20_${name}_REQUIRED_CONFIRMATIONS`,
    isLocal: `ERC20_${name}_IS_LOCAL`,
  }
}

/**
 * The networks with the environment's overrides applied: `HOODI_GETH_ADDR` (comma-separated URLs), `HOODI_CHAIN_ID`,
 * `HOODI_TGLM_CONTRACT_ADDRESS`, `ERC20_HOODI_REQUIRED_CONFIRMATIONS` and so on. Throws `DriverError` `bad-request`
 * that names the variable and its value.
 */
export function networksFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  networks: readonly Erc20Network[] = ERC20_NETWORKS,
): Erc20Network[] {
  return networks.map((network) => {
    const variables = variablesOf(network)
    const given = Object.entries(variables).flatMap(([key, name]) => {
      const value = environment[name]
      return value === undefined || value === '' ? [] : [[key, value] as const]
    })
    const parsed = overrideSchema.safeParse(Object.fromEntries(given))
    if (parsed.success) return override(network, parsed.data)
    const issue = parsed.error.issues[0]
    const name = variables[String(issue?.path[0]) as keyof typeof variables]
    const value = environment[name]
    throw new DriverError('bad-request', `${name} is ${JSON.stringify(value)}: ${issue?.message}`, { name, value })
  })
}

function override(network: Erc20Network, change: z.infer<typeof overrideSchema>): Erc20Network {
  const { token, confirmations, isLocal, ...rest } = change
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  return {
    ...network,
    ...(isLocal && LOCAL_TIMING),
    ...given,
    ...(token && { token: { ...network.token, address: token } }),
    // Golem counts the blocks on top, we count the transaction's own block as well.
    ...(confirmations !== undefined && { wantedDepth: confirmations + 1 }),
  }
}
