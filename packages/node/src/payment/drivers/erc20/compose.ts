/** Makes the next transaction out of queued orders: who is due, what the account can afford, how many fit. */
import type { Clock, Logger } from '@emet/core'
import { messageOf } from '@emet/core'
import { type Chain, ChainError, encodeApprove, encodeMultiPay, encodeTransfer, type Hex } from '../../chain/index.ts'
import { chooseFees, type Fees, withGasMargin } from './fees.ts'
import { type Erc20Network, platformOf } from './networks.ts'
import type { Erc20Options } from './options.ts'
import type { Erc20Store, NewTransaction, QueuedOrder } from './store.ts'
import type { Purpose } from './transaction.ts'
import { Trouble } from './trouble.ts'

export type ComposeDeps = {
  readonly chain: Chain
  readonly store: Erc20Store
  readonly clock: Clock
  readonly log: Logger
}

export type Call = {
  readonly purpose: Purpose
  readonly to: string
  readonly data: Hex
  readonly items: NewTransaction['items']
}

export interface Composer {
  /** When the next queued order is to be sent; undefined when there is none. */
  nextSendMs(): number | undefined
  /** The payment (or the approval it needs first) that is to be sent now; undefined when nothing is due. */
  payment(isFlushed: boolean, signal: AbortSignal): Promise<NewTransaction | undefined>
  /** Any other call of the account. */
  call(network: Erc20Network, call: Call, signal: AbortSignal): Promise<NewTransaction>
}

/** Gas of one transaction. Half of what EIP-7825 allows, so that it also finds room in a busy block. */
const BATCH_GAS_MAX = 8_000_000n
/** Queued orders looked at for one transaction. */
const QUEUE_READ_MAX = 2_000
/** How long an order that the token refuses (its estimate is reverted) is left alone. */
const REFUSED_RETRY_MS = 300_000
const UNLIMITED = 2n ** 256n - 1n

type Group = { readonly payee: string; amountWei: bigint; readonly paymentOrderIds: string[] }

export function createComposer(
  deps: ComposeDeps,
  account: { readonly driver: string; readonly sender: string; readonly networks: readonly Erc20Network[] },
  options: Erc20Options,
): Composer {
  const { chain, store, clock } = deps
  const { sender, networks } = account
  const refusedUntilMs = new Map<string, number>()

  const sendMs = (order: QueuedOrder) =>
    Math.max(
      order.createdMs + options.gatherMs,
      order.dueMs - options.leadMs,
      refusedUntilMs.get(order.paymentOrderId) ?? 0,
    )
  const queued = (network: Erc20Network) => store.queued(sender, platformOf(account.driver, network), QUEUE_READ_MAX)

  /** Gas limit and fees of a call that works; Trouble when the account cannot pay for it. */
  const prepare = async (
    network: Erc20Network,
    call: Call,
    fees: Fees,
    signal: AbortSignal,
  ): Promise<NewTransaction> => {
    const { to, data } = call
    const gasLimit = withGasMargin(await chain.estimateGas({ from: sender, to, data }, { signal }))
    const missing = gasLimit * fees.maxFeeWei - (await chain.gasBalance(sender, { signal }))
    if (missing > 0n) throw new Trouble('gas', `${sender} has too little ${network.gasSymbol} for the fee`, missing)
    const [latest, pending] = await Promise.all([
      chain.nonce(sender, 'latest', { signal }),
      chain.nonce(sender, 'pending', { signal }),
    ])
    const nonce = Math.max(latest, pending)
    const platform = platformOf(account.driver, network)
    return { ...call, chainId: network.chainId, network: network.name, sender, platform, gasLimit, nonce }
  }

  /** The largest part of the groups, from the front, that fits into one transaction and that the account can pay. */
  const prepareBatch = async (network: Erc20Network, groups: readonly Group[], fees: Fees, signal: AbortSignal) => {
    for (let size = groups.length; size >= 1; size = Math.floor(size / 2)) {
      const part = groups.slice(0, size)
      try {
        const transaction = await prepare(network, payCall(network, part), fees, signal)
        if (size === 1 || transaction.gasLimit <= BATCH_GAS_MAX) return transaction
      } catch (error) {
        if (size > 1 && (isReverted(error) || (error instanceof Trouble && error.kind === 'gas'))) continue
        if (!isReverted(error)) throw error
        setAside(part[0])
        deps.log.error('the token refuses a payment; trying others first', {
          error: messageOf(error),
          payee: part[0]?.payee,
        })
      }
    }
    return undefined
  }
  const setAside = (group: Group | undefined) => {
    const untilMs = clock.nowMs() + REFUSED_RETRY_MS
    for (const id of group?.paymentOrderIds ?? []) refusedUntilMs.set(id, untilMs)
  }

  /** Orders the balance suffices for, added up by payee. Smaller ones may pass a larger one that has to wait. */
  const affordable = (orders: readonly QueuedOrder[], balanceWei: bigint, payeesMax: number) => {
    const groups = new Map<string, Group>()
    let left = balanceWei
    let missing = 0n
    for (const order of orders) {
      const known = groups.get(order.payee)
      if (!known && groups.size >= payeesMax) continue
      if (order.amountWei > left) {
        missing += order.amountWei
        continue
      }
      left -= order.amountWei
      const group = known ?? { payee: order.payee, amountWei: 0n, paymentOrderIds: [] }
      group.amountWei += order.amountWei
      group.paymentOrderIds.push(order.paymentOrderId)
      groups.set(order.payee, group)
    }
    return { groups: [...groups.values()], missingWei: missing > left ? missing - left : 0n }
  }

  const paymentOn = async (network: Erc20Network, orders: readonly QueuedOrder[], signal: AbortSignal) => {
    const balanceWei = await chain.tokenBalance(network.token.address, sender, { signal })
    const { groups, missingWei } = affordable(orders, balanceWei, network.multiPay ? options.payeesMax : 1)
    if (groups.length === 0) {
      throw new Trouble('token', `${sender} has too little ${network.token.symbol} for what is due`, missingWei)
    }
    const fees = chooseFees(await chain.feeMarket({ signal }), network)
    if (!fees) throw new Trouble('stuck', `gas on ${network.name} costs more than the cap; waiting for it to fall`)
    if (groups.length > 1 && network.multiPay) {
      const totalWei = groups.reduce((sum, group) => sum + group.amountWei, 0n)
      const allowed = await chain.allowance(network.token.address, sender, network.multiPay, { signal })
      if (allowed < totalWei) return prepare(network, approveCall(network, network.multiPay), fees, signal)
    }
    return prepareBatch(network, groups, fees, signal)
  }

  return {
    nextSendMs: () => {
      const times = networks.flatMap((network) => queued(network).map(sendMs))
      return times.length > 0 ? times.reduce((left, right) => Math.min(left, right)) : undefined
    },
    payment: async (isFlushed, signal) => {
      const now = clock.nowMs()
      let trouble: Trouble | undefined
      for (const network of networks) {
        const orders = queued(network).filter((order) => (refusedUntilMs.get(order.paymentOrderId) ?? 0) <= now)
        const isDue = orders.length > 0 && (isFlushed || orders.some((order) => sendMs(order) <= now))
        if (!isDue) continue
        try {
          const transaction = await paymentOn(network, orders, signal)
          if (transaction) return transaction
        } catch (error) {
          if (!(error instanceof Trouble)) throw error
          trouble ??= error
        }
      }
      if (trouble) throw trouble
      return undefined
    },
    call: async (network, call, signal) => {
      const fees = chooseFees(await chain.feeMarket({ signal }), network)
      if (!fees) throw new Trouble('stuck', `gas on ${network.name} costs more than the cap; waiting for it to fall`)
      return prepare(network, call, fees, signal)
    },
  }
}

const isReverted = (error: unknown) => error instanceof ChainError && error.code === 'reverted'

function payCall(network: Erc20Network, groups: readonly Group[]): Call {
  const [only, second] = groups
  if (!only) throw new TypeError('a payment without a payee')
  if (second && network.multiPay) {
    return { purpose: 'pay', to: network.multiPay, data: encodeMultiPay(groups), items: groups }
  }
  return { purpose: 'pay', to: network.token.address, data: encodeTransfer(only.payee, only.amountWei), items: [only] }
}

function approveCall(network: Erc20Network, spender: string): Call {
  return { purpose: 'approve', to: network.token.address, data: encodeApprove(spender, UNLIMITED), items: [] }
}
