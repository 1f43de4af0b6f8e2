/** Test tokens, and native coin to pay fees with, from a network's faucets. */
import { type AbortOptions, type Clock, messageOf } from '@emet/core'
import type { Chain, Fetch } from '../../chain/index.ts'
import { DriverError } from '../errors.ts'
import type { FundRequest } from '../types.ts'
import type { Lane } from './lane.ts'
import type { Erc20Network } from './networks.ts'

export type FaucetDeps = { readonly fetch: Fetch; readonly clock: Clock; readonly chain: Chain; readonly lane: Lane }

/** Faucets give no native coin to whoever has this much. Golem wire: 0.009. */
const GAS_ENOUGH_WEI = 9n * 10n ** 15n
/** Faucet contracts give no tokens to whoever has this much. Golem wire: 400. */
const TOKEN_ENOUGH = 400n
/** How long a faucet may take to deliver. */
const FAUCET_TIMEOUT_MS = 120_000
const POLL_MS = 250

/** Asks the faucets, and waits until both have delivered. Throws `no-faucet` and `faucet-failed`. */
export async function fundAccount(
  deps: FaucetDeps,
  network: Erc20Network,
  request: FundRequest,
  options: AbortOptions,
): Promise<string> {
  if (!network.faucet) {
    const message = network.isTestnet
      ? `network ${network.name} has no faucet; get test tokens from somebody who has them`
      : `${network.token.symbol} on ${network.name} is real money: buy it, together with some ${network.gasSymbol} for fees`
    throw new DriverError('no-faucet', message, { network: network.name })
  }
  if (!request.mintOnly) await getGas(deps, network, request, options)
  const before = await deps.chain.tokenBalance(network.token.address, request.address, options)
  const unit = 10n ** BigInt(network.token.decimals)
  if (before >= TOKEN_ENOUGH * unit) return `${request.address} has ${before / unit} ${network.token.symbol} already`
  request.onProgress?.('Asking the faucet for test tokens')
  await deps.lane.mint(network).catch((cause) => {
    options.signal?.throwIfAborted()
    const message = `the faucet of ${network.name} handed out nothing: ${messageOf(cause)}`
    throw new DriverError('faucet-failed', message, { network: network.name }, { cause })
  })
  const after = await deps.chain.tokenBalance(network.token.address, request.address, options)
  return `Received ${(after - before) / unit} ${network.token.symbol} on ${network.name}`
}

async function getGas(
  deps: FaucetDeps,
  network: Erc20Network,
  request: FundRequest,
  { signal }: AbortOptions,
): Promise<void> {
  const hasGas = async () => (await deps.chain.gasBalance(request.address, { signal })) >= GAS_ENOUGH_WEI
  if (!network.gasFaucetUrl || (await hasGas())) return
  request.onProgress?.(`Asking the faucet for ${network.gasSymbol}`)
  const fail = (why: string, cause?: unknown) =>
    new DriverError('faucet-failed', `no ${network.gasSymbol} on ${network.name}: ${why}`, {}, { cause })
  const limit = new AbortController()
  const cancel = deps.clock.setTimer(FAUCET_TIMEOUT_MS, () => limit.abort(fail('the faucet took too long')))
  const both = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal
  try {
    const response = await deps.fetch(`${network.gasFaucetUrl}/${request.address}`, { signal: both })
    await response.body?.cancel()
    if (!response.ok) throw fail(`the faucet answered HTTP ${response.status}`)
    while (!(await hasGas())) await deps.clock.sleep(POLL_MS, both)
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof DriverError ? error : fail(messageOf(error), error)
  } finally {
    cancel()
  }
}
