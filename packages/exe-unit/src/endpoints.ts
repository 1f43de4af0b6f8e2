/**
 * The messages of an exe-unit, bound below `/public/exeunit/<activityId>`. Golem wire: bodies in camelCase, except
 * `StreamExecBatchResults`; errors as `{service|badRequest|notFound|forbidden|usageLimitExceeded: text}` or `"timeout"`.
 */
import { type Bus, type BusCall, type Caller, type Handler, ReplyError } from '@emet/bus'
import { messageOf, type NodeId, type Unregister } from '@emet/core'
import { z } from 'zod'
import { ExeUnitError, type ExeUnitErrorCode } from './errors.ts'
import { EXE_UNIT_MESSAGES, exeUnitAddress } from './protocol.ts'
import type { Supervisor } from './supervisor.ts'

/** The longest a caller may wait for results in one call. */
export const RESULTS_WAIT_MS_MAX = 3_600_000

const id = z.string().min(1).max(256)
const seconds = z
  .union([z.number(), z.bigint()])
  .nullish()
  .transform((value) => Number(value ?? 0))
const index = z
  .union([z.number(), z.bigint()])
  .nullish()
  .transform((value) => (value == null ? undefined : Number(value)))

const schemas = {
  exec: z.object({ activityId: id, batchId: id, exeScript: z.unknown() }),
  results: z.object({ activityId: id, batchId: id, timeout: seconds, commandIndex: index }),
  stream: z
    .object({ activity_id: id, batch_id: id })
    .transform((it) => ({ activityId: it.activity_id, batchId: it.batch_id })),
  query: z.object({ activityId: id }),
}

export type EndpointsOptions = {
  readonly activityId: string
  readonly requestorId: NodeId
  readonly providerId: NodeId | undefined
}

/** Binds all messages. Only the requestor of the agreement, proven, and this node itself are served. */
export function bindEndpoints(bus: Bus, supervisor: Supervisor, options: EndpointsOptions): Unregister {
  const read = <S extends z.ZodType<{ activityId: string }>>(call: BusCall, schema: S): z.output<S> => {
    requireCaller(call.caller, options)
    const parsed = schema.safeParse(call.body.value())
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new ExeUnitError('bad-request', `${call.address}: ${issue?.path.join('.')}: ${issue?.message}`)
    }
    if (parsed.data.activityId === options.activityId) return parsed.data
    throw new ExeUnitError('forbidden', 'Forbidden! Invalid activity id')
  }
  const handlers: Record<keyof typeof EXE_UNIT_MESSAGES, Handler> = {
    exec: async (call) => {
      const { batchId, exeScript } = read(call, schemas.exec)
      return supervisor.exec(batchId, exeScript)
    },
    getExecBatchResults: async (call) => {
      const { batchId, timeout, commandIndex } = read(call, schemas.results)
      const waitMs = Math.min(Math.max(timeout * 1000, 0), RESULTS_WAIT_MS_MAX)
      return supervisor.results(batchId, { waitMs, commandIndex, signal: call.signal })
    },
    streamExecBatchResults: (call) => supervisor.events(read(call, schemas.stream).batchId, call.signal),
    getRunningCommand: async (call) => {
      read(call, schemas.query)
      return supervisor.runningCommands()
    },
    getActivityState: async (call) => {
      read(call, schemas.query)
      return supervisor.state()
    },
    getActivityUsage: async (call) => {
      read(call, schemas.query)
      return supervisor.usage()
    },
  }
  const undo = Object.entries(EXE_UNIT_MESSAGES).map(([key, message]) => {
    const address = `${exeUnitAddress(options.activityId)}/${message}`
    return bus.bind(address, withWireErrors(handlers[key as keyof typeof handlers]))
  })
  return () => {
    for (const step of undo) step()
  }
}

function requireCaller(caller: Caller, { requestorId, providerId }: EndpointsOptions): void {
  const { nodeId } = caller
  if (caller.kind === 'local' && (nodeId === undefined || nodeId === providerId)) return
  if (nodeId === requestorId) return
  throw new ExeUnitError('forbidden', `Forbidden! ${nodeId} is not the requestor of this agreement`)
}

/** Failures as the other side knows them. */
function withWireErrors(handler: Handler): Handler {
  return (call) => {
    try {
      const reply = handler(call)
      return reply instanceof Promise ? reply.catch(rethrow) : mapErrors(reply)
    } catch (error) {
      return rethrow(error)
    }
  }
}

async function* mapErrors(replies: AsyncIterable<unknown>): AsyncIterable<unknown> {
  try {
    yield* replies
  } catch (error) {
    rethrow(error)
  }
}

const WIRE_CODES: Partial<Record<ExeUnitErrorCode, string>> = {
  'bad-request': 'badRequest',
  forbidden: 'forbidden',
  'not-found': 'notFound',
  limit: 'usageLimitExceeded',
}

function rethrow(error: unknown): never {
  if (error instanceof ReplyError) throw error
  const name = (error instanceof ExeUnitError && WIRE_CODES[error.code]) || 'service'
  throw new ReplyError({ [name]: messageOf(error) })
}
