/**
 * Allocations. A reservation is local bookkeeping over what the chain says the account holds: whatever active allocations
 * still hold, plus what was accepted and is not yet paid, never exceeds the balance that was seen when each was made.
 */
import {
  type Allocation,
  type AllocationUpdate,
  formatAmount,
  formatInstant,
  type InstantUs,
  type NewAllocation,
  type NodeId,
  parseNodeId,
} from '@emet/core'
import { createAlarm } from './background.ts'
import { type Context, isOurs, newId, nowUs } from './context.ts'
import { decorationsOf } from './decorations.ts'
import type { DriverStatus } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import { createFunds } from './funds.ts'
import { ALLOCATIONS_ACTIVE_MAX } from './options.ts'
import { resolvePlatform } from './platform.ts'
import { type AllocationRecord, remainingOf } from './records.ts'
import type { Allocations } from './types.ts'
import { toOrderItem } from './views.ts'

/** The account's money moved: funds checks under way must begin anew. */
export interface AllocationService extends Allocations {
  /** Takes `amountWei` of what remains. Inside the caller's transaction. Throws when it cannot be covered. */
  spend(owner: NodeId, id: string, use: Spending): void
  /** Tells that money of an account was ordered or settled. */
  moved(platform: string, address: NodeId): void
  /** Accounts seen without the coin that pays fees. */
  gasWarnings(): readonly DriverStatus[]
  resume(): void
  stop(): void
}

export type Spending = {
  readonly platform: string
  readonly payerAddr: NodeId
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly amountWei: bigint
}

/** Takes the amount out of what remains. Throws `allocation-too-small`. Never lets spent exceed total. */
function spendFrom(allocation: AllocationRecord, amountWei: bigint): AllocationRecord {
  const remainingWei = remainingOf(allocation)
  if (amountWei < 0n) throw new RangeError('an allocation cannot be refilled by spending')
  if (amountWei > remainingWei) {
    const [has, needs] = [formatAmount(remainingWei), formatAmount(amountWei)]
    const message = `Not enough funds. Allocated: ${has} Needed: ${needs}`
    throw new PaymentError('allocation-too-small', message, { allocationId: allocation.id, remainingWei, amountWei })
  }
  return { ...allocation, spentWei: allocation.spentWei + amountWei }
}

export function createAllocations(context: Context): AllocationService {
  const { store, deps } = context
  const logger = deps.logger.child({ part: 'allocations' })
  const funds = createFunds(context)
  const alarm = createAlarm(deps.clock, () => releaseOverdue())

  const releaseOverdue = () => {
    for (const allocation of store.allocations.overdue(nowUs(context))) {
      store.allocations.update({ ...allocation, isReleased: true, updatedUs: nowUs(context) })
      logger.info('an allocation was released: its time is up', { allocationId: allocation.id })
    }
    rearm()
  }
  const rearm = () => {
    const nextUs = store.allocations.nextTimeoutUs()
    alarm.set(nextUs === undefined ? undefined : nextUs / 1000)
  }
  const active = (owner: NodeId, id: string): AllocationRecord => {
    const found = store.allocations.get(owner, id)
    if (found && !found.isReleased) return found
    throw new PaymentError('not-found', `Allocation ${id} not found`, { allocationId: id })
  }

  return {
    create: async (owner, request, { signal } = {}) => {
      const draft = draftOf(context, owner, request)
      if (store.allocations.active(owner, 0, ALLOCATIONS_ACTIVE_MAX).length >= ALLOCATIONS_ACTIVE_MAX) {
        throw new PaymentError('bad-request', `${ALLOCATIONS_ACTIVE_MAX} allocations are active; release some`)
      }
      const wish = { ...draft, amountWei: draft.totalWei }
      await funds.reserve(wish, () => store.allocations.insert(draft), signal)
      rearm()
      return toAllocation(draft)
    },
    list: (owner, { afterUs, max } = {}) => store.allocations.active(owner, afterUs, max).map(toAllocation),
    get: (owner, id) => toAllocation(active(owner, id)),
    amend: async (owner, id, change, { signal } = {}) => {
      const before = active(owner, id)
      checkAmendment(context, before, change)
      const moreWei = (change.totalAmount ?? before.totalWei) - before.totalWei
      let amended = before
      const keep = () => {
        // It may have been spent from, or released, since.
        amended = amend(context, active(owner, id), change, moreWei)
        store.allocations.update(amended)
      }
      if (moreWei > 0n) await funds.reserve({ ...before, amountWei: moreWei }, keep, signal)
      else store.transaction(keep)
      rearm()
      return toAllocation(amended)
    },
    release: (owner, id) => {
      const found = store.allocations.get(owner, id)
      if (!found) throw new PaymentError('not-found', `Allocation ${id} not found`, { allocationId: id })
      if (found.isReleased) throw new PaymentError('allocation-released', `Allocation ${id} already released`, { id })
      store.allocations.update({ ...found, isReleased: true, updatedUs: nowUs(context) })
      rearm()
    },
    releaseAll: (owner) =>
      store.transaction(() => {
        const all = store.allocations.active(owner)
        for (const allocation of all) {
          store.allocations.update({ ...allocation, isReleased: true, updatedUs: nowUs(context) })
        }
        return all.length
      }),
    expenditures: (owner, id) =>
      store.allocations.expenditures(active(owner, id).id).map(({ acceptedWei, scheduledWei, ...rest }) => ({
        ...rest,
        acceptedAmount: acceptedWei,
        scheduledAmount: scheduledWei,
      })),
    orders: (owner, id) => store.orders.ordersOfAllocation(active(owner, id).id).map(toOrderItem),
    decorations: (owner, ids) => decorationsOf(ids.map((id) => active(owner, id))),
    spend: (owner, id, use) => spend(context, owner, id, use),
    moved: funds.moved,
    gasWarnings: funds.gasWarnings,
    resume: releaseOverdue,
    stop: () => alarm.set(undefined),
  }
}

/** The order of these checks is Golem's: platform, account, timeout, deposit; funds come last. */
function draftOf(context: Context, owner: NodeId, request: NewAllocation): AllocationRecord {
  const { platform } = resolvePlatform(context.deps.drivers, request.paymentPlatform)
  const address = addressOf(context, owner, platform, request.address)
  if (request.totalAmount < 0n) {
    throw new PaymentError('bad-request', `totalAmount: ${formatAmount(request.totalAmount)} is negative`)
  }
  const atUs = nowUs(context)
  checkTimeout(atUs, request.timeout, { platform, address })
  checkDeposit(context, request, { platform, address })
  return {
    id: newId(context),
    owner,
    address,
    platform,
    totalWei: request.totalAmount,
    spentWei: 0n,
    timeoutUs: request.timeout ?? atUs + context.options.allocationTimeoutMs * 1000,
    createdUs: atUs,
    updatedUs: atUs,
    isReleased: false,
    deposit: request.deposit,
    extendTimeoutSec: request.extendTimeout === undefined ? undefined : Math.trunc(request.extendTimeout),
  }
}

/** Only an account whose key we hold can pay. */
function addressOf(context: Context, owner: NodeId, platform: string, wish: string | undefined): NodeId {
  const address = wish === undefined || wish === '' ? owner : parseNodeId(wish)
  if (address !== undefined && isOurs(context, address)) return address
  const message = `the account ${wish ?? owner} is none of this node's unlocked identities; it cannot pay on ${platform}`
  throw new PaymentError('account-not-registered', message, { platform, address: wish ?? owner })
}

/** The allocation with the change made. `checkedWei` more were found to be in the account. */
function amend(
  context: Context,
  current: AllocationRecord,
  change: AllocationUpdate,
  checkedWei: bigint,
): AllocationRecord {
  checkAmendment(context, current, change)
  const { id, timeoutUs } = current
  const totalWei = change.totalAmount ?? current.totalWei
  if (totalWei - current.totalWei > (checkedWei > 0n ? checkedWei : 0n)) {
    throw new PaymentError('bad-request', `Allocation ${id} was changed at the same time; try again`, { id })
  }
  return { ...current, totalWei, timeoutUs: change.timeout ?? timeoutUs, updatedUs: nowUs(context) }
}

function spend(context: Context, owner: NodeId, id: string, use: Spending): void {
  const { store } = context
  const allocation = usable(store.allocations.get(owner, id), id, use)
  store.allocations.update({ ...spendFrom(allocation, use.amountWei), updatedUs: nowUs(context) })
  const { agreementId, activityId, amountWei } = use
  const scheduledWei = 0n
  store.allocations.addExpenditure({ allocationId: id, agreementId, activityId, acceptedWei: amountWei, scheduledWei })
}

function checkTimeout(
  atUs: InstantUs,
  timeoutUs: InstantUs | undefined,
  account: { platform: string; address: string },
) {
  if (timeoutUs === undefined || timeoutUs > atUs) return
  const message = `Allocation timeout ${formatInstant(timeoutUs)} is in the past`
  throw new PaymentError('timeout-passed', message, { ...account, requestedTimeout: formatInstant(timeoutUs) })
}

const CONTRACT = /^0x[0-9a-fA-F]{40}$/
const DEPOSIT_ID = /^(0x[0-9a-fA-F]{1,64}|\d{1,78})$/

/** Deposits need a driver that knows the contract; no driver declares that capability yet. */
function checkDeposit(context: Context, request: NewAllocation, account: { platform: string; address: string }): void {
  const { deposit } = request
  if (!deposit) return
  if (!CONTRACT.test(deposit.contract)) {
    throw new PaymentError('malformed-deposit-contract', `not a contract address: ${deposit.contract}`, account)
  }
  if (!DEPOSIT_ID.test(deposit.id)) {
    throw new PaymentError('malformed-deposit-id', `not a deposit id: ${deposit.id}`, account)
  }
  const user = context.store.allocations.byDeposit(deposit)
  if (user) {
    const message = `deposit ${deposit.id} was used by allocation ${user.id}`
    throw new PaymentError('deposit-reused', message, { ...account, conflictingAllocationId: user.id })
  }
  throw new PaymentError('deposit-unsupported', `the driver of ${account.platform} cannot pay out of deposits`, account)
}

function checkAmendment(context: Context, allocation: AllocationRecord, change: AllocationUpdate): void {
  const { totalAmount, timeout, deposit } = change
  if (deposit && !allocation.deposit) {
    throw new PaymentError('bad-request', 'a deposit cannot be added to an allocation without one', {
      id: allocation.id,
    })
  }
  if (totalAmount !== undefined && totalAmount < allocation.spentWei)
    throw belowSpent({ ...allocation, totalWei: totalAmount })
  if (timeout !== undefined && timeout <= nowUs(context)) {
    throw new PaymentError('bad-request', `timeout: ${formatInstant(timeout)} is in the past`, { id: allocation.id })
  }
}

function belowSpent({ id, totalWei, spentWei }: AllocationRecord): PaymentError {
  const [total, spent] = [formatAmount(totalWei), formatAmount(spentWei)]
  return new PaymentError('bad-request', `totalAmount: ${total} is less than what was spent already (${spent})`, { id })
}

function usable(allocation: AllocationRecord | undefined, id: string, use: Spending): AllocationRecord {
  if (!allocation || allocation.isReleased) {
    throw new PaymentError('allocation-unusable', `Allocation ${id} not found`, { allocationId: id })
  }
  if (allocation.platform !== use.platform || allocation.address !== use.payerAddr) {
    const message = `Allocation ${id} pays from ${allocation.address} on ${allocation.platform}; the document asks for ${use.payerAddr} on ${use.platform}`
    throw new PaymentError('allocation-unusable', message, { allocationId: id })
  }
  return allocation
}

function toAllocation(allocation: AllocationRecord): Allocation {
  return {
    allocationId: allocation.id,
    address: allocation.address,
    paymentPlatform: allocation.platform,
    totalAmount: allocation.totalWei,
    spentAmount: allocation.spentWei,
    remainingAmount: remainingOf(allocation),
    timestamp: allocation.updatedUs,
    timeout: allocation.timeoutUs,
    deposit: allocation.deposit,
    createdTs: allocation.createdUs,
    updatedTs: allocation.updatedUs,
    makeDeposit: false,
    extendTimeout: allocation.extendTimeoutSec,
  }
}
