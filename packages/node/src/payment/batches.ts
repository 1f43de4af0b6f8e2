import type { BatchCycle } from '@emet/core'
import { fromMs } from '@emet/core'
import { type Context, driverOf } from './context.ts'
import { PaymentError } from './errors.ts'
import type { Paying } from './paying.ts'
import type { BatchOrder, PaymentCycle } from './records.ts'
import type { Batches } from './types.ts'
import { itemDetails, toBatchOrder, toOrderItem } from './views.ts'

export function createBatches(context: Context, paying: Paying): Batches {
  const { store } = context
  const batch = (owner: Parameters<Batches['order']>[0], id: string): BatchOrder => {
    const found = store.orders.batch(owner, id)
    if (found) return found
    throw new PaymentError('not-found', `Batch order ${id} not found`, { orderId: id })
  }
  return {
    cycles: (owner) => store.orders.cycles(owner).map(toCycle),
    cycle: (owner, platform) => {
      driverOf(context, platform)
      return toCycle(paying.cycle(owner, platform))
    },
    setCycle: (owner, { platform, intervalSec, cron, extraPayTimeSec, nextUpdate }) =>
      toCycle(
        paying.setCycle(owner, platform, {
          cron,
          intervalMs: milliseconds(intervalSec),
          extraPayTimeMs: milliseconds(extraPayTimeSec),
          nextMs: nextUpdate === undefined ? undefined : Math.floor(nextUpdate / 1000),
        }),
      ),
    runNow: paying.runNow,
    orders: (owner) => store.orders.batches(owner).map((order) => toBatchOrder(context, order)),
    order: (owner, id) => toBatchOrder(context, batch(owner, id)),
    items: (owner, id) => store.orders.ordersOf(batch(owner, id).id).map(toOrderItem),
    details: (owner, id, payee) => itemDetails(context, batch(owner, id).id, payee),
  }
}

const milliseconds = (seconds: number | undefined) => (seconds === undefined ? undefined : Math.round(seconds * 1000))

function toCycle(cycle: PaymentCycle): BatchCycle {
  const seconds = (ms: number | undefined) => (ms === undefined ? null : ms / 1000)
  return {
    nodeId: cycle.owner,
    platform: cycle.platform,
    intervalSec: seconds(cycle.intervalMs),
    cron: cycle.cron ?? null,
    extraPayTimeSec: cycle.extraPayTimeMs / 1000,
    maxIntervalSec: seconds(cycle.intervalMs),
    nextProcess: fromMs(cycle.nextMs),
    lastProcess: cycle.lastMs === undefined ? null : fromMs(cycle.lastMs),
  }
}
