import { fromMs, messageOf, type NodeId, type Unregister } from '@emet/core'
import { ActivityError } from './errors.ts'
import { type ActivityOptions, activityOptionsSchema } from './options.ts'
import { createProviderSide } from './provider.ts'
import { createRequestorSide } from './requestor.ts'
import { createActivityStore } from './store.ts'
import type { Activities, ActivityDeps, ActivityRecord } from './types.ts'
import { createWaitList } from './wait-list.ts'

/** Activities in both roles. */
export function createActivity(deps: ActivityDeps, given: Partial<ActivityOptions> = {}): Activities {
  const options = activityOptionsSchema.parse(given)
  const { clock, logger, agreements } = deps
  const store = createActivityStore(deps.db)
  const waits = createWaitList(clock)
  const stopping: Unregister[] = []

  const find = (owner: NodeId, activityId: string, role?: ActivityRecord['role']): ActivityRecord => {
    const records = store.find(activityId)
    const own = records.filter((record) => record.ownerId === owner)
    const record = own.find((one) => role === undefined || one.role === role)
    if (record) return record
    // Golem: the text of the original's database error, which clients may look for.
    if (records.length === 0) {
      throw new ActivityError('unknown-activity', `Not found: agreement id for activity: ${activityId}`, { activityId })
    }
    throw new ActivityError('forbidden', `${owner} is not the ${role ?? 'party'} of activity ${activityId}`)
  }
  const provider = createProviderSide({ ...deps, store, waits }, options)
  const requestor = createRequestorSide({ ...deps, store }, find)

  const regularly = (intervalMs: number, what: string, work: () => void): Unregister => {
    let cancel = () => {}
    const arm = () => {
      cancel = clock.setTimer(intervalMs, () => {
        try {
          work()
        } catch (error) {
          logger.error('a regular task of activities failed', { what, error: messageOf(error) })
        }
        arm()
      })
    }
    arm()
    return () => cancel()
  }
  const prune = () => store.prune(fromMs(clock.nowMs() - options.retentionMs))
  return {
    requestor,
    provider,
    list: (owner, filter) => store.list(owner, filter),
    agreementOf: (activityId) => store.find(activityId)[0]?.agreementId,
    get: (owner, activityId) => find(owner, activityId),
    state: async (owner, activityId, wait) => {
      const record = find(owner, activityId)
      return record.role === 'provider' ? provider.stateOf(record) : requestor.state(record, wait)
    },
    usage: async (owner, activityId, wait) => {
      const record = find(owner, activityId)
      return record.role === 'provider' ? provider.usageOf(record) : requestor.usage(record, wait)
    },
    start: async () => {
      if (stopping.length > 0) return
      prune()
      stopping.push(
        agreements.onTerminated((agreement) => {
          if (agreement.role === 'provider') provider.endAgreement(agreement)
          else requestor.endAgreement(agreement)
        }),
        provider.start(),
        regularly(options.checkIntervalMs, 'check', provider.check),
        regularly(options.cleanUpIntervalMs, 'remove what is old', prune),
      )
    },
    stop: async () => {
      for (const step of stopping.splice(0)) step()
    },
  }
}
