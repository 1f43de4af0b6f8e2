/** The provider's records and what follows from each change: events for the agent, wake-ups, the watch over reports. */
import { type ActivityState, type ActivityUsage, fromMs, type NodeId, randomHexId } from '@emet/core'
import { ActivityError } from './errors.ts'
import { createLiveness, type Liveness } from './liveness.ts'
import { ACTIVITIES_PER_AGREEMENT_MAX, type ActivityOptions, ALIVE_MAX, ALIVE_PER_AGREEMENT_MAX } from './options.ts'
import { returnKey } from './returning.ts'
import { advance, coverUnresponsive, isTerminated, NEW_STATE } from './state.ts'
import type { ActivityEvent, ActivityStore } from './store.ts'
import type { ActivityAgreement, ActivityDeps, ActivityRecord } from './types.ts'
import type { WaitList } from './wait-list.ts'

/** A second DestroyActivity within this time adds no second event. */
const DESTROY_REPEAT_US = 10_000_000

export type ProviderDeps = ActivityDeps & { readonly store: ActivityStore; readonly waits: WaitList }

export type ProviderLedger = {
  readonly liveness: Liveness
  /** The record. Throws `not-found`. */
  own(activityId: string): ActivityRecord
  agreementOf(record: ActivityRecord): ActivityAgreement | undefined
  /** Stores a new activity and tells the agent to create it. Throws `limit`. */
  insert(agreement: ActivityAgreement, requestorPubKey: string | null): ActivityRecord
  /** Takes a reported state. Throws `illegal-state`. */
  changeState(record: ActivityRecord, next: ActivityState): void
  /** Takes a usage report. */
  reportUsage(record: ActivityRecord, usage: ActivityUsage): void
  /** Tells the agent to destroy it, unless it has ended or was just told. */
  requestDestroy(record: ActivityRecord): void
  /** The state as others see it. */
  stateOf(record: ActivityRecord): ActivityState
  usageOf(record: ActivityRecord): ActivityUsage
  /** Wakes those who wait for changes of it. */
  changed(record: Pick<ActivityRecord, 'activityId' | 'ownerId'>): void
}

/** The ledger over the store. */
export function createProviderLedger(deps: ProviderDeps, options: ActivityOptions): ProviderLedger {
  const { store, waits, clock, agreements } = deps
  const liveness = createLiveness(clock, options)
  const nowUs = () => fromMs(clock.nowMs())

  const changed = (record: Pick<ActivityRecord, 'activityId' | 'ownerId'>) => {
    waits.notify(record.activityId)
    waits.notify(returnKey(record.activityId))
    waits.notify(monitorKey(record.ownerId))
  }
  const own = (activityId: string): ActivityRecord => {
    const record = store.get(activityId, 'provider')
    if (record) return record
    throw new ActivityError('not-found', `this provider has no activity ${activityId}`, { activityId })
  }
  const agreementOf = (record: ActivityRecord) => agreements.get(record.agreementId, record.ownerId)
  const changeState = (record: ActivityRecord, next: ActivityState): void => {
    const state = advance(record.state, next)
    const usage = liveness.usage(record.activityId)
    store.transaction(() => {
      if (isTerminated(state) && usage) saveUsage(record.activityId, usage)
      store.setState(record.activityId, 'provider', state, nowUs())
    })
    if (isTerminated(state)) liveness.forget(record.activityId)
    else if (state.state[0] !== 'New') liveness.watch(record.activityId, 0)
    changed(record)
  }
  const saveUsage = (activityId: string, usage: ActivityUsage) =>
    store.setUsage(activityId, 'provider', { counters: usage.currentUsage ?? [], atSeconds: usage.timestamp })

  const addEvent = (record: ActivityRecord, kind: ActivityEvent['kind'], key: string | null = null): void => {
    const { activityId, agreementId, ownerId } = record
    const appSessionId = agreementOf(record)?.appSessionId ?? null
    store.addEvent({ activityId, agreementId, ownerId, appSessionId, kind, requestorPubKey: key }, nowUs())
  }
  const requestDestroy = (record: ActivityRecord): void => {
    const { destroyRequestedUs } = record
    if (isTerminated(record.state)) return
    if (destroyRequestedUs !== null && nowUs() - destroyRequestedUs < DESTROY_REPEAT_US) return
    store.transaction(() => {
      addEvent(record, 'destroy')
      store.setDestroyRequested(record.activityId, nowUs())
    })
    waits.notify(eventsKey(record.ownerId))
  }
  const insert = (agreement: ActivityAgreement, key: string | null): ActivityRecord => {
    const { agreementId, providerId: ownerId, requestorId: peerId } = agreement
    const activityId = randomHexId(deps.random)
    const record = store.transaction(() => {
      requireRoom(store, agreementId)
      store.insert({ activityId, role: 'provider', ownerId, peerId, agreementId, state: NEW_STATE }, nowUs())
      const record = own(activityId)
      addEvent(record, 'create', key)
      return record
    })
    waits.notify(eventsKey(record.ownerId))
    changed(record)
    return record
  }
  const stateOf = (record: ActivityRecord): ActivityState =>
    liveness.pulse(record.activityId) === 'beating' ? record.state : coverUnresponsive(record.state)
  const usageOf = (record: ActivityRecord): ActivityUsage =>
    liveness.usage(record.activityId) ?? record.usage ?? { timestamp: Math.floor(clock.nowMs() / 1_000) }

  const reportUsage = (record: ActivityRecord, usage: ActivityUsage): void => {
    const { activityId } = record
    if (isTerminated(record.state)) throw new ActivityError('illegal-state', `activity ${activityId} is Terminated`)
    liveness.watch(activityId, 0)
    if (liveness.report(activityId, usage)) saveUsage(activityId, usage)
    waits.notify(returnKey(activityId))
    waits.notify(monitorKey(record.ownerId))
  }
  return { liveness, own, agreementOf, insert, changeState, reportUsage, requestDestroy, stateOf, usageOf, changed }
}

/** What waiters for the agent's events wait under. */
export function eventsKey(owner: NodeId): string {
  return `events ${owner}`
}

/** What the provider's monitors wait under. */
export function monitorKey(owner: NodeId): string {
  return `monitor ${owner}`
}

function requireRoom(store: ActivityStore, agreementId: string): void {
  const { total, alive } = store.count(agreementId, 'provider')
  if (alive >= ALIVE_PER_AGREEMENT_MAX || total >= ACTIVITIES_PER_AGREEMENT_MAX) {
    throw new ActivityError(
      'limit',
      `agreement ${agreementId} has ${alive} activities alive of ${total} in all; no more`,
    )
  }
  if (store.alive('provider').length >= ALIVE_MAX) {
    throw new ActivityError('limit', `this provider has ${ALIVE_MAX} activities; try again later`)
  }
}
