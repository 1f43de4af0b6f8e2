/**
 * The provider's side: creates and destroys activities for requestors by telling the provider agent, takes the reports of
 * exe-units, and notices those that have gone silent.
 */
import { type ActivityMonitor, fromMs, type NodeId, type ProviderEvent, type Unregister } from '@emet/core'
import { ActivityError } from './errors.ts'
import { type ActivityOptions, EVENTS_MAX } from './options.ts'
import { EXE_UNIT_PREFIX, withWireErrors } from './protocol.ts'
import { createProviderHandlers } from './provider-handlers.ts'
import {
  createProviderLedger,
  eventsKey,
  monitorKey,
  type ProviderDeps,
  type ProviderLedger,
} from './provider-ledger.ts'
import { createReturnDesk } from './returning.ts'
import type { ActivityEvent } from './store.ts'
import type { ActivityAgreement, ActivityRecord, ProviderActivities } from './types.ts'

export type ProviderSide = ProviderActivities &
  Pick<ProviderLedger, 'stateOf' | 'usageOf'> & {
    /** Binds the messages and takes up what was alive. */
    start(): Unregister
    /** Looks after silent exe-units. */
    check(): void
    /** Tells the agent to destroy what an ended agreement has left. */
    endAgreement(agreement: ActivityAgreement): void
  }

/** How long the monitor sleeps at most. It wakes at each change. */
const MONITOR_WAIT_MS = 60_000

/** The provider's side over its store. `waits` is notified of every change under the activity's id. */
export function createProviderSide(deps: ProviderDeps, options: ActivityOptions): ProviderSide {
  const { bus, store, waits, clock, logger } = deps
  const ledger = createProviderLedger(deps, options)
  const handlers = createProviderHandlers(deps, ledger, options)

  const start = (): Unregister => {
    for (const record of store.alive('provider')) {
      ledger.liveness.watch(record.activityId, options.startGraceMs)
      // The requestor of a new one has been waiting in vain: it does not know the id.
      if (record.state.state[0] === 'New') ledger.requestDestroy(record)
      // The market may have learned of an end that we have not.
      if (ledger.agreementOf(record)?.state === 'Terminated') ledger.requestDestroy(record)
    }
    const undo = Object.entries(handlers).map(([address, handler]) => {
      return bus.bind(
        address,
        withWireErrors(async (call) => handler(call)),
      )
    })
    undo.push(bus.route(EXE_UNIT_PREFIX, createReturnDesk(deps, ledger, options.startGraceMs)))
    return () => {
      for (const step of undo) step()
    }
  }
  const checkOne = (record: ActivityRecord): void => {
    const { activityId } = record
    const pulse = ledger.liveness.pulse(activityId)
    if (pulse === 'lost' && record.destroyRequestedUs === null) {
      logger.warn('an exe-unit has stopped reporting; its activity is to be destroyed', { activityId })
      ledger.requestDestroy(record)
    }
    if (pulse === 'abandoned') {
      logger.warn('an activity is gone: neither its exe-unit nor the provider agent answers', { activityId })
      ledger.changeState(record, { state: ['Terminated', null], reason: 'its exe-unit stopped reporting' })
    }
    ledger.changed(record)
  }
  const viewOf = (record: ActivityRecord): ActivityMonitor['activities'][number] => {
    const properties = ledger.agreementOf(record)?.offer.properties ?? {}
    const runtime = properties['golem.runtime.name']
    return {
      id: record.activityId,
      agreementId: record.agreementId,
      state: ledger.stateOf(record).state[0],
      exeUnit: typeof runtime === 'string' ? runtime : null,
      usage: namedUsage(properties['golem.com.usage.vector'], ledger.usageOf(record).currentUsage),
    }
  }
  async function* monitor(owner: NodeId, signal: AbortSignal | undefined): AsyncIterable<ActivityMonitor> {
    const views = () => store.list(owner, { role: 'provider', alive: true }).map(viewOf)
    for (let seen: string | undefined; ; ) {
      const differs = () => {
        const activities = views()
        return JSON.stringify(activities) === seen ? undefined : activities
      }
      const activities = await waits.wait(monitorKey(owner), differs, { timeoutMs: MONITOR_WAIT_MS, signal })
      if (!activities) continue
      seen = JSON.stringify(activities)
      yield { ts: fromMs(clock.nowMs()), activities }
    }
  }
  return {
    start,
    check: () => {
      for (const activityId of ledger.liveness.watched()) {
        const isSilent = ledger.liveness.pulse(activityId) !== 'beating'
        const record = isSilent ? store.get(activityId, 'provider') : undefined
        if (record) checkOne(record)
      }
    },
    stateOf: ledger.stateOf,
    usageOf: ledger.usageOf,
    endAgreement: ({ agreementId, providerId }) => {
      const left = store.list(providerId, { role: 'provider', agreementId, alive: true })
      for (const record of left) ledger.requestDestroy(record)
    },
    events: async (owner, { afterUs, maxEvents, appSessionId, ...wait }) => {
      const filter = { afterUs, maxEvents: Math.min(maxEvents, EVENTS_MAX), appSessionId }
      const probe = () => {
        const events = store.events(owner, filter)
        return events.length > 0 ? events : undefined
      }
      return ((await waits.wait(eventsKey(owner), probe, wait)) ?? []).map(toProviderEvent)
    },
    setState: (owner, activityId, state) => {
      const record = ledger.own(activityId)
      if (record.ownerId !== owner) throw new ActivityError('forbidden', `activity ${activityId} is not of ${owner}`)
      ledger.changeState(record, state)
    },
    monitor: (owner, { signal }) => monitor(owner, signal),
  }
}

function toProviderEvent(event: ActivityEvent): ProviderEvent {
  const { activityId, agreementId, atUs: eventDate, kind, requestorPubKey } = event
  const create = { CreateActivity: { requestorPubKey: requestorPubKey ?? undefined } }
  return { activityId, agreementId, eventDate, eventType: kind === 'create' ? create : { DestroyActivity: {} } }
}

/** Usage by the names of the offer's counters. */
function namedUsage(names: unknown, usage: readonly number[] | undefined): Record<string, number> | undefined {
  if (!Array.isArray(names) || !usage) return undefined
  return Object.fromEntries(usage.map((value, index) => [String(names[index] ?? index), value]))
}
