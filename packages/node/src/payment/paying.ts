/**
 * Paying. In one transaction, what was accepted is gathered by payee into orders and given to the driver, whose
 * `schedule` is part of that transaction: an amount is either still unordered, or ordered exactly once. What the driver
 * reports as settled becomes a Payment per payee, again in one transaction, with the news for the payee; a report that
 * comes twice finds its orders paid.
 */
import { type BatchRun, messageOf, type NodeId, type Payment } from '@emet/core'
import type { AllocationService } from './allocations.ts'
import { createAlarm } from './background.ts'
import { bookShares, settleAgreements } from './book.ts'
import { type Context, driverOf, newId, nowUs } from './context.ts'
import { afterRun, type CycleChange, changeCycle, defaultCycle, runAtMs } from './cycle.ts'
import type { Delivery } from './delivery.ts'
import type { PaymentDriver, Settlement } from './drivers/types.ts'
import type {
  Obligation,
  OutboxEntry,
  PaymentCycle,
  PaymentOrderRecord,
  PaymentRecord,
  PaymentShare,
} from './records.ts'

export interface Paying {
  /** Something may have become payable, or a cycle has changed. */
  wake(): void
  runNow(owner: NodeId, platform: string): BatchRun
  cycle(owner: NodeId, platform: string): PaymentCycle
  setCycle(owner: NodeId, platform: string, change: CycleChange): PaymentCycle
  onSettled(driver: PaymentDriver, settlement: Settlement): void
  /** Takes up after a start: the driver hears of every unpaid order again, under its old id. */
  resume(): void
  stop(): void
}

/** Pause after a driver refused a batch. */
const REFUSED_PAUSE_MS = 60_000

export function createPaying(context: Context, parts: { allocations: AllocationService; delivery: Delivery }): Paying {
  const { store, deps, options, background } = context
  const { allocations, delivery } = parts
  const logger = deps.logger.child({ part: 'paying' })
  const pausedUntil = new Map<string, number>()
  const alarm = createAlarm(deps.clock, () => wake())

  const cycleOf = (owner: NodeId, platform: string): PaymentCycle => {
    const found = store.orders.cycle(owner, platform)
    return found ?? defaultCycle(options, { owner, platform }, Math.round(deps.clock.nowMs()))
  }
  /** As `cycleOf`, but its first run is written down, so that a restart does not put it off. */
  const keptCycle = (owner: NodeId, platform: string): PaymentCycle => {
    const cycle = cycleOf(owner, platform)
    if (!store.orders.cycle(owner, platform)) store.orders.saveCycle(cycle)
    return cycle
  }

  const wake = () => {
    if (background.signal.aborted) return
    const times = store.orders.payableKeys().map(({ owner, platform, dueUs }) => {
      const atMs = runAtMs(keptCycle(owner, platform), dueUs === undefined ? undefined : dueUs / 1000)
      const nextMs = Math.max(atMs, pausedUntil.get(`${owner} ${platform}`) ?? 0)
      if (nextMs > deps.clock.nowMs()) return nextMs
      return run(owner, platform) ? undefined : pausedUntil.get(`${owner} ${platform}`)
    })
    const waits = times.filter((time) => time !== undefined)
    alarm.set(waits.length > 0 ? Math.min(...waits) : undefined)
  }

  /** Orders everything payable. False: the driver refused, and nothing has changed. */
  const run = (owner: NodeId, platform: string): boolean => {
    const nowMs = Math.round(deps.clock.nowMs())
    try {
      const orders = store.transaction(() => {
        store.orders.saveCycle(afterRun(keptCycle(owner, platform), nowMs))
        return order(context, owner, platform)
      })
      for (const payerAddr of new Set(orders.map((o) => o.payerAddr))) allocations.moved(platform, payerAddr)
      return true
    } catch (error) {
      logger.error('payments cannot be ordered; trying again later', { owner, platform, error: messageOf(error) })
      pausedUntil.set(`${owner} ${platform}`, nowMs + REFUSED_PAUSE_MS)
      return false
    }
  }

  return {
    wake,
    runNow: (owner, platform) => {
      const driver = driverOf(context, platform)
      const startMs = deps.clock.monotonicMs()
      pausedUntil.delete(`${owner} ${platform}`)
      run(owner, platform)
      const orderedMs = deps.clock.monotonicMs()
      driver.flush(platform)
      wake()
      return { resolve_time_ms: orderedMs - startMs, send_time_ms: deps.clock.monotonicMs() - orderedMs }
    },
    cycle: cycleOf,
    setCycle: (owner, platform, change) => {
      driverOf(context, platform)
      const changed = changeCycle(cycleOf(owner, platform), change, Math.round(deps.clock.nowMs()))
      store.orders.saveCycle(changed)
      wake()
      return changed
    },
    onSettled: (driver, settlement) => {
      const news = store.transaction(() => recordSettlement(context, delivery, settlement))
      allocations.moved(settlement.platform, settlement.payer)
      context.feed.wake()
      logger.info('payments have settled', { driver: driver.name, payee: settlement.payee, payments: news.length })
      for (const entry of news) background.spawn('announce a payment', (signal) => delivery.deliver(entry, { signal }))
    },
    resume: () => {
      for (const order of store.orders.unpaidOrders()) schedule(context, order)
      wake()
    },
    stop: () => alarm.set(undefined),
  }
}

/** Gathers what is payable into orders, by payee and allocation. Inside a transaction. */
function order(context: Context, owner: NodeId, platform: string): PaymentOrderRecord[] {
  const { store } = context
  const payable = store.orders.payable(owner, platform)
  const orders: PaymentOrderRecord[] = []
  for (const ofAccount of groups(payable, ({ payerAddr }) => payerAddr)) {
    const batchId = newId(context)
    const atUs = nowUs(context)
    const { payerAddr } = ofAccount[0]
    const totalWei = sumOf(ofAccount)
    store.orders.insertBatch({ id: batchId, owner, payerAddr, platform, totalWei, createdUs: atUs, updatedUs: atUs })
    for (const group of groups(ofAccount, (o) => `${o.payeeId} ${o.payeeAddr} ${o.allocationId}`)) {
      orders.push(orderGroup(context, batchId, group))
    }
  }
  return orders
}

function orderGroup(context: Context, batchId: string, group: Group): PaymentOrderRecord {
  const { store } = context
  const { owner, platform, payeeId, payeeAddr, payerAddr, allocationId } = group[0]
  const order: PaymentOrderRecord = {
    ...{ owner, platform, payeeId, payeeAddr, payerAddr, allocationId, batchId },
    id: newId(context),
    amountWei: sumOf(group),
    dueUs: nowUs(context),
    paymentId: undefined,
  }
  store.orders.insertOrder(order)
  for (const { id, agreementId, activityId, amountWei } of group) {
    store.orders.assign(id, order.id)
    store.allocations.addExpenditure({
      allocationId,
      agreementId,
      activityId,
      acceptedWei: 0n,
      scheduledWei: amountWei,
    })
  }
  bookShares(context, owner, 'requestor', 'scheduledWei', sharesOf(group))
  schedule(context, order)
  return order
}

function schedule(context: Context, order: PaymentOrderRecord): void {
  driverOf(context, order.platform).schedule({
    paymentOrderId: order.id,
    payer: order.payerAddr,
    payee: order.payeeAddr,
    platform: order.platform,
    amountWei: order.amountWei,
    dueMs: Math.floor(order.dueUs / 1000),
  })
}

/** Makes a Payment for each payee of a settled transfer. Inside a transaction. Returns the news for the payees. */
function recordSettlement(context: Context, delivery: Delivery, settlement: Settlement): OutboxEntry[] {
  const { store } = context
  const orders = settlement.paymentOrderIds
    .map((id) => store.orders.order(id))
    .filter((order) => order !== undefined)
    .filter(({ paymentId }) => paymentId === undefined)
  return [...groups(orders, ({ owner, payeeId }) => `${owner} ${payeeId}`)].map((group) => {
    const { owner, payeeId, payeeAddr, payerAddr, platform } = group[0]
    const atUs = context.feed.tick()
    const payment: PaymentRecord = {
      ...{ owner, payeeId, payeeAddr, payerAddr, platform },
      role: 'requestor',
      id: newId(context),
      payerId: owner,
      amountWei: sumOf(group),
      timestampUs: atUs,
      recordedUs: atUs,
      shares: sharesOf(group.flatMap(({ id }) => store.orders.obligationsOf(id))),
      confirmation: Uint8Array.from(settlement.confirmation),
      signature: undefined,
      signedBytes: undefined,
      recheckMs: undefined,
    }
    store.payments.insert(payment)
    for (const { id } of group) store.orders.setPaid(id, payment.id, nowUs(context))
    bookShares(context, owner, 'requestor', 'paidWei', payment.shares)
    settleAgreements(
      context,
      owner,
      'requestor',
      payment.shares.map(({ agreementId }) => agreementId),
    )
    return delivery.enqueue({ owner, peerId: payeeId, kind: 'payment', ref: payment.id, details: undefined })
  })
}

/** One share per agreement or activity and allocation. */
function sharesOf(obligations: readonly Obligation[]): PaymentShare[] {
  const key = ({ agreementId, activityId, allocationId }: Obligation) => `${agreementId} ${activityId} ${allocationId}`
  return [...groups(obligations, key)].map((group) => {
    const { agreementId, activityId, allocationId } = group[0]
    return { agreementId, activityId, allocationId, amountWei: sumOf(group) }
  })
}

type Group = readonly [Obligation, ...Obligation[]]

/** Items of the same key, in the order of first appearance. */
function groups<T>(items: readonly T[], keyOf: (item: T) => string): Iterable<readonly [T, ...T[]]> {
  const byKey = new Map<string, [T, ...T[]]>()
  for (const item of items) {
    const group = byKey.get(keyOf(item))
    if (group) group.push(item)
    else byKey.set(keyOf(item), [item])
  }
  return byKey.values()
}

const sumOf = (items: readonly { readonly amountWei: bigint }[]): bigint =>
  items.reduce((sum, { amountWei }) => sum + amountWei, 0n)

/** A recorded payment in the form that is signed and shown. */
export function toPayment(payment: PaymentRecord): Payment {
  const { payerId, payeeId, payerAddr, payeeAddr, shares } = payment
  return {
    ...{ payerId, payeeId, payerAddr, payeeAddr },
    paymentId: payment.id,
    paymentPlatform: payment.platform,
    amount: payment.amountWei,
    timestamp: payment.timestampUs,
    agreementPayments: shares
      .filter(({ activityId }) => activityId === undefined)
      .map(({ agreementId, amountWei, allocationId }) => ({ agreementId, amount: amountWei, allocationId })),
    activityPayments: shares.flatMap(({ activityId, amountWei, allocationId }) =>
      activityId === undefined ? [] : [{ activityId, amount: amountWei, allocationId }],
    ),
    details: payment.confirmation,
  }
}
