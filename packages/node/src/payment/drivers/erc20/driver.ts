import { type Clock, type Logger, messageOf, type NodeId, type Random, randomUuid, type Unregister } from '@emet/core'
import type { Database } from '../../../store/index.ts'
import { type Chain, ChainError, createRpcChain, type Fetch } from '../../chain/index.ts'
import { DriverError } from '../errors.ts'
import { checkOrder } from '../rules.ts'
import type {
  AccountBalance,
  DriverNetwork,
  DriverStatus,
  FundsCheck,
  OrderProgress,
  PaymentDriver,
  Settlement,
} from '../types.ts'
import { fundAccount } from './faucet.ts'
import { createLane, type Lane } from './lane.ts'
import { type Erc20Network, platformOf } from './networks.ts'
import { DEFAULT_ERC20_OPTIONS, type Erc20Options } from './options.ts'
import { createPayee } from './payee.ts'
import { createErc20Store, type Erc20Store } from './store.ts'
import { attemptsOf } from './transaction.ts'
import { toStatus } from './trouble.ts'

export type Erc20Deps = {
  readonly db: Database
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly fetch: Fetch
  /** Identity's private keys: 32 bytes, throws while locked. */
  readonly privateKey: (id: NodeId) => Uint8Array
  /** Default: JSON-RPC at the network's endpoints. */
  readonly openChain?: (network: Erc20Network) => Chain
}

const DRIVER = 'erc20'
/** Gas of a single transfer to a new holder, rounded up: what an account must be able to pay for. */
const TRANSFER_GAS = 60_000n

/** Pays in ERC-20 tokens on EVM chains. */
export function createErc20Driver(deps: Erc20Deps, given: Partial<Erc20Options> = {}): PaymentDriver {
  const options: Erc20Options = { ...DEFAULT_ERC20_OPTIONS, ...given }
  const store = createErc20Store(deps.db)
  const byPlatform = new Map(options.networks.map((network) => [platformOf(DRIVER, network), network]))
  const chains = new Map<number, Chain>()
  const chainOf = (network: Erc20Network): Chain => {
    const known = chains.get(network.chainId)
    if (known) return known
    const { chainId } = network
    // A local chain may stand in for several networks, and not each of them has its address.
    const urls = [...new Set(options.networks.flatMap((each) => (each.chainId === chainId ? each.rpcUrls : [])))]
    const chain = deps.openChain?.(network) ?? createRpcChain(deps, { chainId, urls })
    chains.set(chainId, chain)
    return chain
  }
  const networkOf = (platform: string): Erc20Network => {
    const network = byPlatform.get(platform)
    if (network) return network
    const known = [...byPlatform.keys()].join(', ')
    throw new DriverError('unknown-platform', `there is no payment platform ${platform}; known are ${known}`, {
      platform,
    })
  }
  const listeners = createListeners(deps, store)
  const lanes = createLanes({ deps, store, options, chainOf, listeners })
  const pollMs = (network: Erc20Network) => options.pollMs ?? network.blockTimeMs / 3
  const accounts = createAccounts({ deps, options, store, chainOf, networkOf, lanes })

  const schedule: PaymentDriver['schedule'] = (order) => {
    networkOf(order.platform)
    if (checkOrder(order, store.order(order.paymentOrderId)) === 'known') return
    store.insertOrder(order, deps.clock.nowMs())
    lanes.wake(order.payer, networkOf(order.platform))
  }

  return {
    name: DRIVER,
    capabilities: { faucet: true, deposits: false, batches: true },
    networks: () => options.networks.map((network) => describe(network, options)),
    ...accounts,
    schedule,
    order: (id) => progressOf(id, store, lanes, networkOf),
    flush: (platform) => {
      store.hasten(platform, deps.clock.nowMs())
      lanes.flush(platform === undefined ? undefined : networkOf(platform))
    },
    transfer: (request, { signal } = {}) => {
      const paymentOrderId = randomUuid(deps.random)
      const settled = listeners.settlementOf(paymentOrderId, signal)
      try {
        schedule({ ...request, paymentOrderId, dueMs: deps.clock.nowMs() })
        lanes.flush(networkOf(request.platform))
      } catch (error) {
        settled.cancel()
        return Promise.reject(error)
      }
      return settled.promise
    },
    onSettled: (listener) => {
      const unregister = listeners.onSettled(listener)
      if (lanes.isRunning()) listeners.deliver()
      return unregister
    },
    onStatusChanged: listeners.onStatusChanged,
    ...createPayee({ store, clock: deps.clock, networkOf, chainOf, pollMs }),
    status: (network) =>
      lanes.status().filter((item) => network === undefined || !('network' in item) || item.network === network),
    start: async () => {
      lanes.start()
      for (const { payer, platform } of store.unfinished()) {
        const network = byPlatform.get(platform)
        if (network) lanes.wake(payer, network)
        else deps.log.warn('payments wait: their platform is no longer configured', { platform, payer })
      }
      listeners.deliver()
    },
    stop: () => lanes.stop(),
  }
}

function describe(network: Erc20Network, options: Erc20Options): DriverNetwork {
  const { name, chainId, gasSymbol, isTestnet, isRetired, token } = network
  const platform = platformOf(DRIVER, network)
  return {
    name,
    chainId,
    gasSymbol,
    isTestnet,
    isRetired,
    isDefault: name === options.defaultNetwork,
    hasFaucet: network.faucet !== undefined,
    tokens: [{ ...token, platform, isDefault: true }],
  }
}

type Shared = {
  readonly deps: Erc20Deps
  readonly options: Erc20Options
  readonly store: Erc20Store
  readonly chainOf: (network: Erc20Network) => Chain
}

/** What accounts hold, and filling them. */
function createAccounts({
  deps,
  options,
  store,
  chainOf,
  networkOf,
  lanes,
}: Shared & {
  readonly networkOf: (platform: string) => Erc20Network
  readonly lanes: Lanes
}): Pick<PaymentDriver, 'balance' | 'checkFunds' | 'fund'> {
  const asDriverError = (error: unknown): never => {
    if (!(error instanceof ChainError)) throw error
    throw new DriverError(error.code === 'wrong-chain' ? 'wrong-chain' : 'rpc', error.message, error.facts, {
      cause: error,
    })
  }
  const read = async (address: NodeId, platform: string, signal: AbortSignal | undefined) => {
    const network = networkOf(platform)
    const chain = chainOf(network)
    const [head, tokenWei, gasWei] = await Promise.all([
      chain.head({ signal }),
      chain.tokenBalance(network.token.address, address, { signal }),
      chain.gasBalance(address, { signal }),
    ]).catch(asDriverError)
    return { network, chain, head, tokenWei, gasWei }
  }
  /** A local chain may stand in for several networks, whose orders are then paid from the same balance. */
  const samePurse = ({ chainId, token }: Erc20Network) =>
    options.networks.filter((other) => other.chainId === chainId && other.token.address === token.address)
  return {
    balance: async (address, platform, { signal } = {}): Promise<AccountBalance> => {
      const { network, head, tokenWei, gasWei } = await read(address, platform, signal)
      return {
        platform,
        tokenWei,
        tokenSymbol: network.token.symbol,
        tokenDecimals: network.token.decimals,
        gasWei,
        gasSymbol: network.gasSymbol,
        blockNumber: head.number,
        blockTimeMs: head.timeMs,
      }
    },
    checkFunds: async ({ address, platform, amountWei, reservedWei }, { signal } = {}): Promise<FundsCheck> => {
      const { chain, tokenWei, gasWei } = await read(address, platform, signal)
      const market = await chain.feeMarket({ signal }).catch(asDriverError)
      const scheduledWei = samePurse(networkOf(platform)).reduce(
        (sum, network) => sum + store.scheduledWei(address, platformOf(DRIVER, network)),
        0n,
      )
      const left = tokenWei - reservedWei - scheduledWei
      const availableWei = left > 0n ? left : 0n
      const gasNeededWei = TRANSFER_GAS * (market.baseFeeWei + market.priorityFeeWei)
      const isEnough = amountWei <= availableWei
      const hasGas = gasWei >= gasNeededWei
      return { isEnough, availableWei, balanceWei: tokenWei, scheduledWei, hasGas, gasWei, gasNeededWei }
    },
    fund: async (request, { signal } = {}) => {
      const network = options.networks.find((candidate) => candidate.name === request.network)
      if (!network) {
        throw new DriverError('unknown-platform', `the ${DRIVER} driver has no network ${request.network}`, {})
      }
      const chain = chainOf(network)
      const lane = lanes.of(request.address, network)
      return fundAccount({ ...deps, chain, lane }, network, request, { signal }).catch(asDriverError)
    },
  }
}

type Lanes = {
  of(sender: string, network: Erc20Network): Lane
  wake(sender: string, network: Erc20Network): void
  flush(network: Erc20Network | undefined): void
  status(): DriverStatus[]
  isRunning(): boolean
  start(): void
  stop(): Promise<void>
}

/** One lane for each account and chain, made when first needed. */
function createLanes({ deps, store, options, chainOf, listeners }: Shared & { readonly listeners: Listeners }): Lanes {
  const lanes = new Map<string, { lane: Lane; network: Erc20Network; sender: string; done: Promise<void> }>()
  const controller = new AbortController()
  let isStarted = false

  const status = () =>
    [...lanes.values()].flatMap(({ lane, network, sender }) => {
      const trouble = lane.trouble()
      const { name, chainId, token } = network
      const scene = { driver: DRIVER, network: name, chainId, address: sender, tokenDecimals: token.decimals }
      return trouble ? [toStatus(trouble, scene)] : []
    })
  const of = (sender: string, network: Erc20Network): Lane => {
    const key = `${network.chainId} ${sender}`
    const known = lanes.get(key)
    if (known) return known.lane
    const others = options.networks.filter((other) => other.chainId === network.chainId && other !== network)
    const log = deps.log.child({ network: network.name, sender })
    const onTrouble = () => listeners.statusChanged(status())
    const laneDeps = { ...deps, store, log, chain: chainOf(network), onFinal: listeners.deliver, onTrouble }
    const lane = createLane(laneDeps, { driver: DRIVER, sender, networks: [network, ...others] }, options)
    const done = isStarted ? lane.run(controller.signal) : Promise.resolve()
    lanes.set(key, { lane, network, sender, done })
    return lane
  }
  return {
    of,
    wake: (sender, network) => of(sender, network).wake(),
    flush: (network) => {
      for (const entry of lanes.values()) {
        if (network === undefined || entry.network.chainId === network.chainId) entry.lane.flush()
      }
    },
    status,
    isRunning: () => isStarted && !controller.signal.aborted,
    start: () => {
      if (isStarted) return
      isStarted = true
      for (const entry of lanes.values()) entry.done = entry.lane.run(controller.signal)
    },
    stop: async () => {
      controller.abort(new DriverError('stopped', 'the payment driver was stopped'))
      await Promise.all([...lanes.values()].map((entry) => entry.done))
    },
  }
}

type Listeners = {
  onSettled(listener: (settlement: Settlement) => void): Unregister
  onStatusChanged(listener: (status: readonly DriverStatus[]) => void): Unregister
  statusChanged(status: DriverStatus[]): void
  /** Tells what has not been told. */
  deliver(): void
  settlementOf(orderId: string, signal: AbortSignal | undefined): { promise: Promise<Settlement>; cancel(): void }
}

function createListeners(deps: Erc20Deps, store: Erc20Store): Listeners {
  const settled = new Set<(settlement: Settlement) => void>()
  const changed = new Set<(status: readonly DriverStatus[]) => void>()
  const awaited = new Map<string, (settlement: Settlement) => void>()

  const tell = (settlement: Settlement, told: () => void) => {
    // What the listener writes and our mark are one database transaction: told exactly once, if it uses the same file.
    store.transact(() => {
      for (const listener of settled) listener(settlement)
      told()
    })
    for (const id of settlement.paymentOrderIds) awaited.get(id)?.(settlement)
  }
  return {
    onSettled: (listener) => {
      settled.add(listener)
      return () => void settled.delete(listener)
    },
    onStatusChanged: (listener) => {
      changed.add(listener)
      return () => void changed.delete(listener)
    },
    statusChanged: (status) => {
      for (const listener of changed) listener(status)
    },
    deliver: () => {
      if (settled.size === 0 && awaited.size === 0) return
      for (const { settlement, told } of store.untold()) {
        try {
          tell(settlement, told)
        } catch (error) {
          deps.log.error('a settlement could not be recorded; it will be told again', { error: messageOf(error) })
        }
      }
    },
    settlementOf: (orderId, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<Settlement>()
      const cancel = () => {
        awaited.delete(orderId)
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = () => {
        cancel()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      awaited.set(orderId, (settlement) => {
        cancel()
        resolve(settlement)
      })
      return { promise, cancel }
    },
  }
}

function progressOf(
  id: string,
  store: Erc20Store,
  lanes: Lanes,
  networkOf: (platform: string) => Erc20Network,
): OrderProgress | undefined {
  const order = store.order(id)
  if (!order) return undefined
  const { transactionId, position } = order
  if (transactionId === undefined || position === undefined) {
    const trouble = lanes.of(order.payer, networkOf(order.platform)).trouble()?.kind
    const waitingFor = trouble === 'stuck' || trouble === 'wrong-chain' ? 'rpc' : trouble
    return { kind: 'queued', dueMs: order.dueMs, ...(waitingFor && { waitingFor }) }
  }
  const settlement = store.settlement(transactionId, position)
  if (settlement) return { kind: 'settled', settlement }
  const transaction = store.transaction(transactionId)
  const transactionHash = transaction && attemptsOf(transaction.state).at(-1)?.hash
  return { kind: 'sending', ...(transactionHash && { transactionHash }) }
}
