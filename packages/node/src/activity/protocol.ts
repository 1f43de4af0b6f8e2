/**
 * The messages of activities between nodes and from exe-units. Golem wire: spec/wire.md §4.4. Fields in camelCase, except
 * `StreamExecBatchResults`; failures as `{service|activity|badRequest|usageLimitExceeded|notFound|forbidden: text}` or
 * `"timeout"`.
 */
import { type Bus, BusError, type Handler, ReplyError } from '@emet/bus'
import {
  activityStateSchema,
  activityUsageSchema,
  exeScriptCommandResultSchema,
  exeScriptCommandStateSchema,
  messageOf,
  type NodeId,
  runtimeEventSchema,
  shortTextSchema,
} from '@emet/core'
import { z } from 'zod'
import { ActivityError, type ActivityErrorCode } from './errors.ts'
import { USAGE_COUNTERS_MAX, WAIT_MS_MAX } from './options.ts'

/** Where a provider's daemon takes messages of requestors. */
export const PUBLIC_PREFIX = '/public/activity'
/** Below it exe-units are bound, each under its activity's id. */
export const EXE_UNIT_PREFIX = '/public/exeunit'
/** Where exe-units report. */
export const LOCAL_PREFIX = '/local/activity'

/** The provider's daemon, seen from the requestor. */
export function daemonAddress(provider: NodeId, message: string): string {
  return `/net/${provider}/activity/${message}`
}

/** The exe-unit. Golem wire: results and their streams go over the transport class for bulk data. */
export function exeUnitAddress(provider: NodeId, activityId: string, message: string, isBulk = false): string {
  return `${isBulk ? '/transfer' : ''}/net/${provider}/exeunit/${activityId}/${message}`
}

const seconds = z
  .union([z.number().min(0), z.bigint()])
  .nullish()
  .transform((value) => (value == null ? undefined : Math.min(Number(value) * 1_000, WAIT_MS_MAX)))
const keyBytes = z
  .union([z.instanceof(Uint8Array), z.array(z.int().min(0).max(255)).transform((list) => Uint8Array.from(list))])
  .nullish()
const activityId = shortTextSchema.min(1)
const agreementId = shortTextSchema.min(1)

export const createActivitySchema = z.object({
  providerId: shortTextSchema,
  agreementId,
  timeout: seconds,
  requestorPubKey: keyBytes,
})
export const destroyActivitySchema = z.object({ agreementId, activityId, timeout: seconds })
export const queryActivitySchema = z.object({ activityId, timeout: seconds })
export const setStateSchema = z.object({ activityId, state: activityStateSchema })
export const setUsageSchema = z.object({
  activityId,
  usage: activityUsageSchema.extend({ currentUsage: z.array(z.number().min(0)).max(USAGE_COUNTERS_MAX).nullish() }),
})

/** The reply to CreateActivity: the bare id, or an object when there are credentials. */
export const createdSchema = z.union([activityId, z.object({ activityId }).transform((created) => created.activityId)])
export const batchIdSchema = shortTextSchema
export const resultsSchema = z.array(z.unknown().transform(plainOutput).pipe(exeScriptCommandResultSchema))
export const commandStatesSchema = z.array(exeScriptCommandStateSchema)
export const wireRuntimeEventSchema = z.unknown().transform(plainOutput).pipe(runtimeEventSchema)

/** Blobs as arrays of numbers: how the documents' schemas want bytes. */
function plainOutput(value: unknown): unknown {
  if (value instanceof Uint8Array) return Array.from(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainOutput(item)]))
}

/** Parses a message or a reply. Throws `bad-request` (or the given code), naming field and value. */
export function parseWire<S extends z.ZodType>(
  schema: S,
  value: unknown,
  what: string,
  code: ActivityErrorCode = 'bad-request',
): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new ActivityError(code, `${what}: ${issue?.path.join('.') || 'value'}: ${issue?.message}`)
}

const WIRE_NAMES: Readonly<Record<string, string>> = {
  'bad-request': 'badRequest',
  'illegal-state': 'badRequest',
  'not-found': 'notFound',
  'unknown-activity': 'notFound',
  forbidden: 'forbidden',
}

/** A handler whose failures the other side understands. */
export function withWireErrors(handler: (call: Parameters<Handler>[0]) => Promise<unknown>): Handler {
  return async (call) => {
    try {
      return await handler(call)
    } catch (error) {
      if (error instanceof ReplyError || error instanceof BusError || call.signal.aborted) throw error
      const code = error instanceof ActivityError ? error.code : 'service'
      throw new ReplyError(code === 'timeout' ? 'timeout' : { [WIRE_NAMES[code] ?? 'service']: messageOf(error) })
    }
  }
}

const CODES: Readonly<Record<string, ActivityErrorCode>> = {
  badRequest: 'bad-request',
  notFound: 'not-found',
  forbidden: 'forbidden',
}

/** What a failed call means for an agent. */
export function fromWireError(error: unknown): unknown {
  if (error instanceof BusError) {
    const cause = { cause: error }
    if (error.code === 'timeout')
      return new ActivityError('timeout', 'the other side did not answer in time', {}, cause)
    return new ActivityError('bus', error.message, { busCode: error.code }, cause)
  }
  if (!(error instanceof ReplyError)) return error
  if (error.data === 'timeout') return new ActivityError('timeout', 'the other side did not finish in time')
  const [name = '', text] = typeof error.data === 'object' && error.data ? (Object.entries(error.data)[0] ?? []) : []
  return new ActivityError(CODES[name] ?? 'service', typeof text === 'string' ? text : messageOf(error), { name })
}

/** Calls the other side and parses its reply. Throws `ActivityError`, or the signal's reason. */
export async function callWire<S extends z.ZodType>(
  bus: Bus,
  address: string,
  body: unknown,
  schema: S,
  options: { owner: NodeId; timeoutMs?: number; signal?: AbortSignal | undefined },
): Promise<z.output<S>> {
  const { owner, timeoutMs, signal } = options
  try {
    const call = {
      caller: { kind: 'local', nodeId: owner },
      signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    } as const
    return parseWire(schema, await bus.call(address, body, call), `the reply of ${address}`, 'service')
  } catch (error) {
    throw fromWireError(error)
  }
}
