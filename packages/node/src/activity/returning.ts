/**
 * After a restart of the daemon its exe-units are still at work, and attach again within seconds. What requestors ask of
 * them meanwhile waits, so that a rental does not notice the restart.
 */
import { type Body, type BusCall, BusError, type Forwarder } from '@emet/bus'
import { EXE_UNIT_PREFIX } from './protocol.ts'
import type { ProviderDeps, ProviderLedger } from './provider-ledger.ts'

/** What those wait under who wait for an exe-unit to attach again. */
export function returnKey(activityId: string): string {
  return `return ${activityId}`
}

/**
 * Takes the calls for exe-units that nobody else takes. Calls of the activity's requestor wait until its exe-unit has
 * reported for the first time since the daemon has started, for `graceMs` at most; all others fail with `no-endpoint`.
 */
export function createReturnDesk(
  { bus, store, waits }: Pick<ProviderDeps, 'bus' | 'store' | 'waits'>,
  ledger: Pick<ProviderLedger, 'liveness'>,
  graceMs: number,
): Forwarder {
  const isBack = (activityId: string) => ledger.liveness.usage(activityId) !== undefined
  const mayWait = (activityId: string, { caller }: BusCall) => {
    const record = store.get(activityId, 'provider')
    if (!record || record.state.state[0] === 'Terminated') return false
    return caller.kind === 'local' || caller.nodeId === record.peerId
  }
  return async function* (call): AsyncIterable<Body> {
    const activityId = call.address.slice(EXE_UNIT_PREFIX.length + 1).split('/')[0] ?? ''
    // One that has reported and is not bound has gone away for another reason.
    if (isBack(activityId) || !mayWait(activityId, call)) throw noEndpoint(call.address)
    const returned = () => isBack(activityId) || !mayWait(activityId, call) || undefined
    await waits.wait(returnKey(activityId), returned, { timeoutMs: graceMs, signal: call.signal })
    if (!isBack(activityId)) throw noEndpoint(call.address)
    yield* bus.send(call)
  }
}

const noEndpoint = (address: string) =>
  new BusError('no-endpoint', `${address}: endpoint address not found`, { address })
