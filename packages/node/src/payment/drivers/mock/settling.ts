/** The mock driver's engine: sends what is due, and tells what has settled. */
import { formatAmount, messageOf } from '@emet/core'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { DriverStatus, PaymentOrder, Settlement } from '../types.ts'
import type { MockDriverDeps } from './driver.ts'
import type { LedgerTransfer } from './ledger.ts'

export type Entry = { readonly order: PaymentOrder; settlement?: Settlement; delivered: boolean }

/** Between two looks for work. */
export const RETRY_MS = 100

export type Settling = ReturnType<typeof createSettling>

export function createSettling(
  deps: MockDriverDeps,
  name: string,
  settleMs: number,
  orders: ReadonlyMap<string, Entry>,
) {
  const settledListeners = new Set<(settlement: Settlement) => void>()
  const statusListeners = new Set<(status: readonly DriverStatus[]) => void>()
  const shortOf = new Set<string>()
  let trouble: DriverStatus | undefined
  let cancelTimer: (() => void) | undefined
  let isRunning = false
  let flushed = false

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
    if (isRunning) arm(settleMs)
  }
  return {
    wake,
    status,
    hasTrouble: () => trouble !== undefined,
    setTrouble: (next: DriverStatus | undefined) => {
      trouble = next
      for (const listener of statusListeners) listener(status())
      wake()
    },
    flush: () => {
      flushed = true
      wake()
    },
    onSettled: (listener: (settlement: Settlement) => void) => {
      settledListeners.add(listener)
      wake()
      return () => void settledListeners.delete(listener)
    },
    onStatusChanged: (listener: (status: readonly DriverStatus[]) => void) => {
      statusListeners.add(listener)
      return () => void statusListeners.delete(listener)
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

export function toSettlement(transfer: LedgerTransfer, entries: readonly Entry[]): Settlement {
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

export const total = (entries: readonly Entry[]) => entries.reduce((sum, entry) => sum + entry.order.amountWei, 0n)

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  return [...Map.groupBy(items, keyOf).values()]
}
