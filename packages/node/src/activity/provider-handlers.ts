/** The provider's messages: from requestors through the network, from exe-units on this machine. */
import type { BusCall } from '@emet/bus'
import { type ActivityUsage, type NodeId, parseNodeId } from '@emet/core'
import { ActivityError } from './errors.ts'
import type { ActivityOptions } from './options.ts'
import {
  createActivitySchema,
  destroyActivitySchema,
  LOCAL_PREFIX,
  PUBLIC_PREFIX,
  parseWire,
  queryActivitySchema,
  setStateSchema,
  setUsageSchema,
} from './protocol.ts'
import type { ProviderDeps, ProviderLedger } from './provider-ledger.ts'
import { isTerminated } from './state.ts'
import type { ActivityRecord, WaitOptions } from './types.ts'

/** What is done for each message, by its full address. */
export function createProviderHandlers(
  deps: Pick<ProviderDeps, 'agreements' | 'waits'>,
  ledger: ProviderLedger,
  options: ActivityOptions,
): Readonly<Record<string, (call: BusCall) => unknown>> {
  const { agreements, waits } = deps
  const { own, requestDestroy } = ledger

  const create = async (call: BusCall): Promise<string> => {
    const body = parseWire(createActivitySchema, call.body.value(), 'CreateActivity')
    const providerId = parseNodeId(body.providerId)
    const agreement = providerId && agreements.get(body.agreementId, providerId)
    if (agreement?.role !== 'provider') {
      throw new ActivityError('not-found', `this provider has no agreement ${body.agreementId}`)
    }
    requireRequestor(call, agreement.requestorId, `agreement ${agreement.agreementId}`)
    if (agreement.state !== 'Approved') {
      throw new ActivityError('bad-request', `agreement ${agreement.agreementId} is ${agreement.state}, not Approved`)
    }
    const record = ledger.insert(
      agreement,
      body.requestorPubKey ? Buffer.from(body.requestorPubKey).toString('hex') : null,
    )
    try {
      await initialized(record, { timeoutMs: body.timeout ?? options.createTimeoutMs, signal: call.signal })
      return record.activityId
    } catch (error) {
      // Nobody has learned its id: nobody else can destroy it.
      requestDestroy(own(record.activityId))
      throw error
    }
  }
  const initialized = async ({ activityId }: ActivityRecord, wait: WaitOptions): Promise<void> => {
    const started = () => {
      const { state } = own(activityId)
      return state.state[0] === 'New' ? undefined : state
    }
    const state = await waits.wait(activityId, started, wait)
    if (!state) throw new ActivityError('timeout', `activity ${activityId} was not initialized in time`)
    if (!isTerminated(state)) return
    const why = state.errorMessage ?? state.reason ?? 'no reason given'
    throw new ActivityError('service', `activity ${activityId} was abruptly terminated: ${why}`)
  }
  const destroy = async (call: BusCall): Promise<null> => {
    const body = parseWire(destroyActivitySchema, call.body.value(), 'DestroyActivity')
    const record = own(body.activityId)
    requireRequestor(call, record.peerId, `activity ${record.activityId}`)
    if (record.agreementId !== body.agreementId) {
      throw new ActivityError('bad-request', `activity ${record.activityId} is of agreement ${record.agreementId}`)
    }
    requestDestroy(record)
    const ended = () => (isTerminated(own(record.activityId).state) ? true : undefined)
    const timeoutMs = body.timeout ?? options.createTimeoutMs
    if (await waits.wait(record.activityId, ended, { timeoutMs, signal: call.signal })) return null
    throw new ActivityError('timeout', `activity ${record.activityId} was not terminated in time`)
  }
  const query = (call: BusCall, what: string): ActivityRecord => {
    const record = own(parseWire(queryActivitySchema, call.body.value(), what).activityId)
    requireRequestor(call, record.peerId, `activity ${record.activityId}`)
    return record
  }
  const reportState = (call: BusCall): null => {
    const { activityId, state } = parseWire(setStateSchema, call.body.value(), 'SetActivityState')
    ledger.changeState(own(activityId), state)
    ledger.liveness.beat(activityId)
    return null
  }
  const reportUsage = (call: BusCall): null => {
    const { activityId, usage } = parseWire(setUsageSchema, call.body.value(), 'SetActivityUsage')
    ledger.reportUsage(own(activityId), { currentUsage: usage.currentUsage ?? [], timestamp: usage.timestamp })
    return null
  }
  return {
    [`${PUBLIC_PREFIX}/CreateActivity`]: create,
    [`${PUBLIC_PREFIX}/DestroyActivity`]: destroy,
    [`${PUBLIC_PREFIX}/GetActivityState`]: (call) => ledger.stateOf(query(call, 'GetActivityState')),
    [`${PUBLIC_PREFIX}/GetActivityUsage`]: (call) => toWireUsage(ledger.usageOf(query(call, 'GetActivityUsage'))),
    [`${LOCAL_PREFIX}/SetActivityState`]: reportState,
    [`${LOCAL_PREFIX}/SetActivityUsage`]: reportUsage,
  }
}

/** Only the requestor of the agreement may; it is proven by the way the call came in. */
function requireRequestor(call: BusCall, requestorId: NodeId, what: string): void {
  if (call.caller.nodeId === requestorId) return
  throw new ActivityError('forbidden', `${what} belongs to another requestor than ${call.caller.nodeId ?? 'nobody'}`)
}

/** Golem wire: usage is a vector of f64, also where the numbers are whole. */
function toWireUsage({ currentUsage, timestamp }: ActivityUsage) {
  return { ...(currentUsage ? { currentUsage: Float64Array.from(currentUsage) } : {}), timestamp }
}
