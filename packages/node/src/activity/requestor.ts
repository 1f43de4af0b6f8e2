/** The requestor's side: everything is asked of the provider's daemon, or of the exe-unit there. */
import { Float } from '@emet/bus'
import {
  type ActivityState,
  type ActivityUsage,
  activityStateSchema,
  activityUsageSchema,
  exeScriptSchema,
  fromMs,
  type NodeId,
  parseExeScript,
  randomHexId,
} from '@emet/core'
import { z } from 'zod'
import { ActivityError } from './errors.ts'
import { streamEvents } from './event-stream.ts'
import { REMOTE_MARGIN_MS } from './options.ts'
import {
  batchIdSchema,
  callWire,
  commandStatesSchema,
  createdSchema,
  daemonAddress,
  exeUnitAddress,
  resultsSchema,
} from './protocol.ts'
import { isTerminated, TERMINATED_STATE } from './state.ts'
import type { ActivityStore } from './store.ts'
import type { ActivityAgreement, ActivityDeps, ActivityRecord, RequestorActivities, WaitOptions } from './types.ts'

export type RequestorSide = RequestorActivities & {
  /** Asks the provider, unless the activity is known to have ended. */
  state(record: ActivityRecord, wait: WaitOptions): Promise<ActivityState>
  usage(record: ActivityRecord, wait: WaitOptions): Promise<ActivityUsage>
  /** What an ended agreement has left is terminated. */
  endAgreement(agreement: ActivityAgreement): void
}

/** The requestor's side over its store. `find` gives an identity's record of an activity, or throws. */
export function createRequestorSide(
  deps: ActivityDeps & { readonly store: ActivityStore },
  find: (owner: NodeId, activityId: string, role: 'requestor') => ActivityRecord,
): RequestorSide {
  const { bus, store, clock, agreements } = deps
  const nowUs = () => fromMs(clock.nowMs())

  const options = (owner: NodeId, { timeoutMs, signal }: WaitOptions) => {
    return { owner, timeoutMs: timeoutMs + REMOTE_MARGIN_MS, signal }
  }
  /** The activity, which must not have ended. */
  const live = (owner: NodeId, activityId: string): ActivityRecord => {
    const record = find(owner, activityId, 'requestor')
    if (!isTerminated(record.state)) return record
    throw new ActivityError('bad-request', `activity ${activityId} is Terminated`, { activityId })
  }
  const insert = (agreement: ActivityAgreement, activityId: string): void => {
    const { agreementId, requestorId: ownerId, providerId: peerId } = agreement
    const state: ActivityState = { state: ['Initialized', null] }
    store.insert({ activityId, role: 'requestor', ownerId, peerId, agreementId, state }, nowUs())
  }
  const create: RequestorActivities['create'] = async (owner, agreementId, requestorPubKey, wait) => {
    const agreement = agreements.get(agreementId, owner)
    if (!agreement) throw new ActivityError('not-found', `agreement ${agreementId} is not known to ${owner}`)
    if (agreement.role !== 'requestor') {
      throw new ActivityError('forbidden', `${owner} is not the requestor of agreement ${agreementId}`)
    }
    const body = {
      providerId: agreement.providerId,
      agreementId,
      timeout: wireSeconds(wait.timeoutMs),
      requestorPubKey: requestorPubKey === null ? null : [...parseHex(requestorPubKey)],
    }
    const address = daemonAddress(agreement.providerId, 'CreateActivity')
    const activityId = await callWire(bus, address, body, createdSchema, options(owner, wait))
    insert(agreement, activityId)
    return activityId
  }
  const destroy: RequestorActivities['destroy'] = async (owner, activityId, wait) => {
    const record = find(owner, activityId, 'requestor')
    if (isTerminated(record.state)) return
    const body = { agreementId: record.agreementId, activityId, timeout: wireSeconds(wait.timeoutMs) }
    const address = daemonAddress(record.peerId, 'DestroyActivity')
    await callWire(bus, address, body, z.unknown(), options(owner, wait))
    store.setState(activityId, 'requestor', TERMINATED_STATE, nowUs())
  }
  const exec: RequestorActivities['exec'] = async (owner, activityId, scriptText, wait) => {
    const parsed = parseExeScript(scriptText)
    if (!parsed.ok) throw new ActivityError('bad-request', parsed.message)
    const record = live(owner, activityId)
    const batchId = randomHexId(deps.random)
    const exeScript = z.encode(exeScriptSchema, parsed.script)
    const body = { activityId, batchId, exeScript, timeout: wireSeconds(wait.timeoutMs) }
    const address = exeUnitAddress(record.peerId, activityId, 'Exec')
    await callWire(bus, address, body, batchIdSchema, options(owner, wait))
    return batchId
  }
  const results: RequestorActivities['results'] = async (
    owner,
    activityId,
    batchId,
    { waitMs, commandIndex, signal },
  ) => {
    const record = find(owner, activityId, 'requestor')
    const timeout = waitMs === undefined ? null : wireSeconds(waitMs)
    const body = { activityId, batchId, timeout, commandIndex: commandIndex ?? null }
    const address = exeUnitAddress(record.peerId, activityId, 'GetExecBatchResults', true)
    const within = waitMs === undefined ? {} : { timeoutMs: waitMs + REMOTE_MARGIN_MS }
    return callWire(bus, address, body, resultsSchema, { owner, signal, ...within })
  }
  const state = async (record: ActivityRecord, wait: WaitOptions): Promise<ActivityState> => {
    if (isTerminated(record.state)) return record.state
    const { activityId, ownerId, peerId } = record
    const address = daemonAddress(peerId, 'GetActivityState')
    const body = { activityId, timeout: wireSeconds(wait.timeoutMs) }
    const found = await callWire(bus, address, body, activityStateSchema, options(ownerId, wait))
    if (JSON.stringify(found) !== JSON.stringify(record.state)) store.setState(activityId, 'requestor', found, nowUs())
    return found
  }
  const usage = async (record: ActivityRecord, wait: WaitOptions): Promise<ActivityUsage> => {
    if (isTerminated(record.state) && record.usage) return record.usage
    const { activityId, ownerId, peerId } = record
    const address = daemonAddress(peerId, 'GetActivityUsage')
    const body = { activityId, timeout: wireSeconds(wait.timeoutMs) }
    const found = await callWire(bus, address, body, activityUsageSchema, options(ownerId, wait))
    const atSeconds = Math.floor(clock.nowMs() / 1_000)
    if (found.currentUsage) store.setUsage(activityId, 'requestor', { counters: found.currentUsage, atSeconds })
    return found
  }
  return {
    create,
    destroy,
    exec,
    results,
    state,
    usage,
    events: (owner, activityId, batchId, abort) => {
      const { peerId } = find(owner, activityId, 'requestor')
      const address = exeUnitAddress(peerId, activityId, 'StreamExecBatchResults', true)
      const isEnded = () => isTerminated(find(owner, activityId, 'requestor').state)
      return streamEvents(deps, { address, owner, activityId, batchId, isEnded }, abort)
    },
    runningCommand: async (owner, activityId, wait) => {
      const { peerId } = live(owner, activityId)
      const address = exeUnitAddress(peerId, activityId, 'GetRunningCommand')
      const body = { activityId, timeout: wireSeconds(wait.timeoutMs) }
      return callWire(bus, address, body, commandStatesSchema, options(owner, wait))
    },
    endAgreement: ({ agreementId, requestorId }) => {
      for (const { activityId } of store.list(requestorId, { role: 'requestor', agreementId, alive: true })) {
        store.setState(
          activityId,
          'requestor',
          { ...TERMINATED_STATE, reason: 'the agreement was terminated' },
          nowUs(),
        )
      }
    },
  }
}

/** Golem wire: timeouts are f32 seconds. */
function wireSeconds(ms: number): Float {
  return new Float(Math.fround(ms / 1_000))
}

function parseHex(text: string): Uint8Array {
  const hex = text.replace(/^0x/, '')
  if (/^([0-9a-fA-F]{2}){1,256}$/.test(hex)) return Buffer.from(hex, 'hex')
  throw new ActivityError('bad-request', `requestorPubKey is not hex: ${JSON.stringify(text.slice(0, 100))}`)
}
