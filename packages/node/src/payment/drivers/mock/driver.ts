import { type Clock, formatAmount, type Logger, messageOf, type Random, randomUuid } from '@emet/core'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { DriverError } from '../errors.ts'
import { checkOrder, parseConfirmation } from '../rules.ts'
import type {
  ConfirmedTransfer,
  DriverNetwork,
  DriverStatus,
  OrderProgress,
  PaymentDriver,
  PaymentOrder,
  Settlement,
  TransferClaim,
  Verification,
  VerifyRequest,
} from '../types.ts'
import type { LedgerTransfer, MockLedger } from './ledger.ts'

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

type Entry = { readonly order: PaymentOrder; settlement?: Settlement; delivered: boolean }

const GRANT_WEI = 1000n * 10n ** 18n

export function createMockDriver(deps: MockDriverDeps, options: MockDriverOptions = {}): MockDriver {
  const name = options.name ?? 'mock'
  const networks = (options.networks ?? ['local']).map((network, index) => describe(name, network, index === 0))
  const orders = new Map<string, Entry>()
  const claims = new Map<string, TransferClaim>()
  const settledListeners = new Set<(settlement: Settlement) => void>()
  const statusListeners = new Set<(status: readonly DriverStatus[]) => void>()
  const shortOf = new Set<string>()
  let trouble: DriverStatus | undefined
  let cancelTimer: (() => void) | undefined
  let isRunning = false
  let flushed = false

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
  const status = (): DriverStatus[] => {
    const short = [...shortOf].map((key): DriverStatus => {
      const [network = '', address = ''] = key.split(' ')
      return { kind: 'InsufficientToken', driver: name, network, address, neededTokenEst: formatAmount(1n) }
    })
    return trouble ? [trouble, ...short] : short
  }
  const setShort = (key: string, isShort: boolean) => {
    if (shortOf.has(key) === isShort) return
    if (isShort) shortOf.add(key)
    else shortOf.delete(key)
    for (const listener of statusListeners) listener(status())
  }

  /** Sends what is due: one transaction for each payer and platform, one transfer for each payee. */
  const settleDue = () => {
    if (trouble) return
    const open = [...orders.values()].filter((entry) => !entry.settlement)
    const due = open.filter((entry) => flushed || entry.order.dueMs <= deps.clock.nowMs())
    flushed = false
    for (const group of groupBy(due, (entry) => `${entry.order.payer} ${entry.order.platform}`)) {
      const { payer, platform } = (group[0] as Entry).order
      const byPayee = groupBy(group, (entry) => entry.order.payee)
      const items = byPayee.map((entries) => ({ payee: (entries[0] as Entry).order.payee, amountWei: total(entries) }))
      const transfers = deps.ledger.move(payer, platform, items, deps.clock.nowMs())
      setShort(`${platform.split('-')[1]} ${payer}`, transfers === undefined)
      transfers?.forEach((transfer, index) => {
        for (const entry of byPayee[index] ?? []) entry.settlement = toSettlement(transfer, byPayee[index] ?? [])
      })
    }
  }
  const deliver = () => {
    for (const group of groupBy(
      [...orders.values()].filter((entry) => entry.settlement && !entry.delivered),
      (entry) => `${bytesToHex((entry.settlement as Settlement).confirmation)} ${entry.settlement?.logIndex}`,
    )) {
      try {
        if (settledListeners.size === 0) return
        for (const listener of settledListeners) listener((group[0] as Entry).settlement as Settlement)
        for (const entry of group) entry.delivered = true
      } catch (error) {
        deps.log.warn('a listener refused a settlement; it will be told again', { error: messageOf(error) })
      }
    }
  }
  const work = () => {
    if (!isRunning) return
    settleDue()
    deliver()
    const dues = [...orders.values()].filter((entry) => !entry.delivered).map((entry) => entry.order.dueMs)
    if (dues.length > 0) arm(Math.max(Math.min(...dues) - deps.clock.nowMs(), RETRY_MS))
  }
  const arm = (delayMs: number) => {
    cancelTimer?.()
    cancelTimer = deps.clock.setTimer(delayMs, work)
  }
  const wake = () => {
    if (isRunning) arm(options.settleMs ?? 0)
  }
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
      wake()
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
      wake()
    },
    order: (id) => progressOf(orders.get(id), trouble !== undefined),
    flush: () => {
      flushed = true
      wake()
    },
    transfer: async (request) => {
      const paymentOrderId = randomUuid(deps.random)
      const order = { ...request, paymentOrderId, dueMs: deps.clock.nowMs() }
      tokenOf(order.platform)
      checkOrder(order, undefined)
      const [sent] = deps.ledger.move(request.payer, request.platform, [request], deps.clock.nowMs()) ?? []
      if (!sent) throw new DriverError('bad-request', `${request.payer} has too little`, { payer: request.payer })
      return toSettlement(sent, [{ order, delivered: true }])
    },
    onSettled: (listener) => {
      settledListeners.add(listener)
      wake()
      return () => void settledListeners.delete(listener)
    },
    onStatusChanged: (listener) => {
      statusListeners.add(listener)
      return () => void statusListeners.delete(listener)
    },
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
    status: (network) => status().filter((item) => !network || !('network' in item) || item.network === network),
    setTrouble: (next) => {
      trouble = next
      for (const listener of statusListeners) listener(status())
      wake()
    },
    start: async () => {
      isRunning = true
      wake()
    },
    stop: async () => {
      isRunning = false
      cancelTimer?.()
    },
  }
}

const RETRY_MS = 100

function describe(driver: string, network: string, isDefault: boolean): DriverNetwork {
  return {
    name: network,
    chainId: 31_337,
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

function toSettlement(transfer: LedgerTransfer, entries: readonly Entry[]): Settlement {
  return {
    paymentOrderIds: entries.map((entry) => entry.order.paymentOrderId),
    platform: transfer.platform,
    payer: transfer.payer,
    payee: transfer.payee,
    amountWei: transfer.amountWei,
    confirmation: hexToBytes(transfer.hash.slice(2)),
    logIndex: transfer.logIndex,
    blockNumber: transfer.blockNumber,
    blockHash: transfer.hash,
    feeWei: 0n,
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

const total = (entries: readonly Entry[]) => entries.reduce((sum, entry) => sum + entry.order.amountWei, 0n)

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  return [...Map.groupBy(items, keyOf).values()]
}
