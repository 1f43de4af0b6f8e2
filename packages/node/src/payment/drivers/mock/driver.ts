import { type Clock, type Logger, type Random, randomUuid } from '@emet/core'
import { DriverError } from '../errors.ts'
import { checkOrder, parseConfirmation } from '../rules.ts'
import type {
  ConfirmedTransfer,
  DriverNetwork,
  DriverStatus,
  OrderProgress,
  PaymentDriver,
  TransferClaim,
  Verification,
  VerifyRequest,
} from '../types.ts'
import type { MockLedger } from './ledger.ts'
import { createSettling, type Entry, RETRY_MS, toSettlement, total } from './settling.ts'

export type MockDriverDeps = {
  readonly ledger: MockLedger
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export type MockDriverOptions = {
  /** Default `mock`; use `erc20` to stand in for the real one, platforms included. */
  readonly name?: string
  /** Default one: `local`, token `tglm`. */
  readonly networks?: readonly string[]
  /** From due to settled. Default 0: as soon as the clock turns. */
  readonly settleMs?: number
  /** What `fund` gives. Default 1000 tokens. */
  readonly grantWei?: bigint
}

/** Adds to the driver what a test wants to do to it. */
export type MockDriver = PaymentDriver & {
  /** While set, `status` reports it and nothing is sent: as if gas, the RPC endpoint or the key were missing. */
  setTrouble(trouble: DriverStatus | undefined): void
}

/** Each network is a ledger of its own. */
const LOCAL_CHAIN_ID = 31_337

const GRANT_WEI = 1000n * 10n ** 18n

export function createMockDriver(deps: MockDriverDeps, options: MockDriverOptions = {}): MockDriver {
  const name = options.name ?? 'mock'
  const networks = (options.networks ?? ['local']).map((network, index) => describe(name, network, index))
  const orders = new Map<string, Entry>()
  const claims = new Map<string, TransferClaim>()
  const tokenOf = (platform: string) => {
    const found = networks.flatMap((network) => network.tokens).find((token) => token.platform === platform)
    if (!found)
      throw new DriverError('unknown-platform', `the ${name} driver has no platform ${platform}`, { platform })
    return found
  }
  const networkOf = (network: string) => {
    const found = networks.find((candidate) => candidate.name === network)
    if (!found) throw new DriverError('unknown-platform', `the ${name} driver has no network ${network}`, { network })
    return found
  }
  const settling = createSettling(deps, name, options.settleMs ?? 0, orders)
  const judge = (request: VerifyRequest): Verification => judgeRequest(deps, claims, request)

  return {
    name,
    capabilities: { faucet: true, deposits: false, batches: true },
    networks: () => networks,
    balance: async (address, platform) => ({
      platform,
      tokenWei: deps.ledger.balance(address, platform),
      tokenSymbol: tokenOf(platform).symbol,
      tokenDecimals: 18,
      gasWei: GRANT_WEI,
      gasSymbol: 'tETH',
      blockNumber: deps.ledger.height,
      blockTimeMs: deps.clock.nowMs(),
    }),
    fund: async ({ address, network, onProgress }) => {
      onProgress?.('Asking the faucet for test tokens')
      for (const token of networkOf(network).tokens) {
        deps.ledger.credit(address, token.platform, options.grantWei ?? GRANT_WEI)
      }
      settling.wake()
      return `Received test tokens on ${network}`
    },
    checkFunds: async ({ address, platform, amountWei, reservedWei }) => {
      tokenOf(platform)
      const balanceWei = deps.ledger.balance(address, platform)
      const open = [...orders.values()].filter((entry) => !entry.settlement)
      const mine = open.filter(({ order }) => order.payer === address && order.platform === platform)
      const scheduledWei = total(mine)
      const left = balanceWei - reservedWei - scheduledWei
      const availableWei = left > 0n ? left : 0n
      const gas = { hasGas: true, gasWei: GRANT_WEI, gasNeededWei: 0n }
      return { isEnough: amountWei <= availableWei, availableWei, balanceWei, scheduledWei, ...gas }
    },
    schedule: (order) => {
      tokenOf(order.platform)
      const known = orders.get(order.paymentOrderId)
      if (checkOrder(order, known?.order) === 'known') return
      orders.set(order.paymentOrderId, { order, delivered: false })
      settling.wake()
    },
    order: (id) => progressOf(orders.get(id), settling.hasTrouble()),
    flush: () => settling.flush(),
    transfer: async (request) => {
      const paymentOrderId = randomUuid(deps.random)
      const order = { ...request, paymentOrderId, dueMs: deps.clock.nowMs() }
      tokenOf(order.platform)
      checkOrder(order, undefined)
      const [sent] = deps.ledger.move(request.payer, request.platform, [request], deps.clock.nowMs()) ?? []
      if (!sent) throw new DriverError('bad-request', `${request.payer} has too little`, { payer: request.payer })
      return toSettlement(sent, [{ order, delivered: true }])
    },
    onSettled: settling.onSettled,
    onStatusChanged: settling.onStatusChanged,
    verify: async (request, { patienceMs = 0, signal } = {}) => {
      tokenOf(request.platform)
      const deadlineMs = deps.clock.monotonicMs() + patienceMs
      for (let seen = judge(request); ; seen = judge(request)) {
        if (seen.kind !== 'pending' || deps.clock.monotonicMs() >= deadlineMs) return seen
        await deps.clock.sleep(RETRY_MS, signal)
      }
    },
    claim: (claim) => {
      const { transfer, amountWei, paymentId } = claim
      if (claims.get(paymentId)?.amountWei === amountWei) return
      if (claimedOf(claims, transfer, paymentId) + amountWei > transfer.amountWei || claims.has(paymentId)) {
        throw new DriverError('already-claimed', `transfer ${transfer.transactionHash} is used up`, { paymentId })
      }
      claims.set(paymentId, claim)
    },
    release: (paymentId) => void claims.delete(paymentId),
    status: (network) =>
      settling.status().filter((item) => !network || !('network' in item) || item.network === network),
    setTrouble: settling.setTrouble,
    start: settling.start,
    stop: settling.stop,
  }
}

function describe(driver: string, network: string, index: number): DriverNetwork {
  const isDefault = index === 0
  return {
    name: network,
    chainId: LOCAL_CHAIN_ID + index,
    gasSymbol: 'tETH',
    tokens: [
      {
        symbol: 'tGLM',
        platform: `${driver}-${network}-tglm`,
        decimals: 18,
        address: `0x${'0'.repeat(40)}`,
        isDefault,
      },
    ],
    isDefault,
    isTestnet: true,
    isRetired: false,
    hasFaucet: true,
  }
}

function progressOf(entry: Entry | undefined, isWaiting: boolean): OrderProgress | undefined {
  if (!entry) return undefined
  if (entry.settlement) return { kind: 'settled', settlement: entry.settlement }
  return { kind: 'queued', dueMs: entry.order.dueMs, ...(isWaiting && { waitingFor: 'rpc' as const }) }
}

function judgeRequest(
  deps: MockDriverDeps,
  claims: ReadonlyMap<string, TransferClaim>,
  request: VerifyRequest,
): Verification {
  const hash = parseConfirmation(request.confirmation)
  const refuse = (
    reason: 'malformed' | 'no-transfer' | 'wrong-payer' | 'too-small' | 'already-claimed',
    foundWei = 0n,
  ) => ({ kind: 'refused', reason, message: `payment refused: ${reason}`, foundWei }) as const
  if (!hash) return refuse('malformed')
  const all = deps.ledger.transfers(hash).filter((transfer) => transfer.platform === request.platform)
  if (deps.ledger.transfers(hash).length === 0)
    return { kind: 'pending', reason: 'not-found', depth: 0, wantedDepth: 1 }
  const toPayee = all.filter((transfer) => transfer.payee === request.payee)
  const mine = toPayee.filter((transfer) => transfer.payer === request.payer)
  const first = mine[0]
  if (!first) return refuse(toPayee.length > 0 ? 'wrong-payer' : 'no-transfer')
  const seen: ConfirmedTransfer = {
    kind: 'confirmed',
    platform: request.platform,
    payer: request.payer,
    payee: request.payee,
    chainId: 31_337,
    transactionHash: hash,
    logs: mine.map(({ logIndex, amountWei }) => ({ logIndex, amountWei })),
    amountWei: mine.reduce((sum, transfer) => sum + transfer.amountWei, 0n),
    claimedWei: 0n,
    blockNumber: first.blockNumber,
    blockHash: hash,
    blockTimeMs: first.timeMs,
    depth: deps.ledger.height - first.blockNumber + 1,
    isFinal: true,
    finalInMs: 0,
  }
  const claimedWei = claimedOf(claims, seen, request.paymentId)
  if (seen.amountWei < request.amountWei) return refuse('too-small', seen.amountWei)
  if (seen.amountWei - claimedWei < request.amountWei) return refuse('already-claimed', seen.amountWei - claimedWei)
  return { ...seen, claimedWei }
}

/** What payments other than `exceptId` have claimed of the transfers from this payer to this payee in it. */
function claimedOf(
  claims: ReadonlyMap<string, TransferClaim>,
  transfer: ConfirmedTransfer,
  exceptId: string | undefined,
): bigint {
  let sum = 0n
  for (const { paymentId, amountWei, transfer: other } of claims.values()) {
    const isSame =
      other.transactionHash === transfer.transactionHash &&
      other.platform === transfer.platform &&
      other.payer === transfer.payer &&
      other.payee === transfer.payee
    if (isSame && paymentId !== exceptId) sum += amountWei
  }
  return sum
}
