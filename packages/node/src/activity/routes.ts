import {
  type activityApi,
  EventStream,
  type emetActivityApi,
  RestError,
  type RouteHandlers,
  type ServerEvent,
} from '@emet/api'
import { ActivityError, type ActivityErrorCode } from './errors.ts'
import type { Activities, ActivityRecord, AgreementSource } from './types.ts'

/** Status and the words in front of the message. Golem wire: an unknown activity is a 500. */
const ANSWERS: Readonly<Record<ActivityErrorCode, readonly [status: number, prefix: string]>> = {
  'bad-request': [400, 'Bad request: '],
  'illegal-state': [400, 'Bad request: '],
  'not-found': [404, 'Not found: '],
  forbidden: [403, 'Forbidden: '],
  timeout: [408, 'Timeout'],
  service: [500, 'Service error: '],
  limit: [500, 'Service error: '],
  bus: [500, 'GSB error: '],
  'unknown-activity': [500, 'DAO error: '],
}

/** A failure as the activity API answers it. */
export function toRestError(error: unknown): unknown {
  if (!(error instanceof ActivityError)) return error
  const [status, prefix] = ANSWERS[error.code]
  const message = error.code === 'timeout' ? prefix : `${prefix}${error.message}`
  return new RestError(status, message, { cause: error })
}

async function answer<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toRestError(error)
  }
}

/** The activity API over the module. */
export function activityRoutes(activities: Activities): RouteHandlers<typeof activityApi> {
  const { requestor, provider } = activities
  const wait = ({ query, signal }: { query: { timeout: number }; signal: AbortSignal }) => {
    return { timeoutMs: query.timeout * 1_000, signal }
  }
  return {
    createActivity: (request) =>
      answer(async () => {
        const { body, caller } = request
        if (typeof body === 'string') return requestor.create(caller.nodeId, body, null, wait(request))
        const key = body.requestorPubKey ?? null
        const activityId = await requestor.create(caller.nodeId, body.agreementId, key, wait(request))
        return { activityId, credentials: undefined }
      }),
    listActivities: ({ caller, query }) =>
      answer(() =>
        activities.list(caller.nodeId, { agreementId: query.agreementId }).map(({ activityId }) => activityId),
      ),
    destroyActivity: (request) =>
      answer(async () => {
        await requestor.destroy(request.caller.nodeId, request.params.activityId, wait(request))
        return null
      }),
    exec: (request) =>
      answer(() => requestor.exec(request.caller.nodeId, request.params.activityId, request.body.text, wait(request))),
    getExecResults: ({ caller, params: { activityId, batchId }, query, wantsEvents, signal }) =>
      answer(async () => {
        if (wantsEvents)
          return new EventStream(numbered(requestor.events(caller.nodeId, activityId, batchId, { signal })))
        const waitMs = query.timeout === undefined ? undefined : query.timeout * 1_000
        return requestor.results(caller.nodeId, activityId, batchId, {
          waitMs,
          commandIndex: query.commandIndex,
          signal,
        })
      }),
    getState: (request) =>
      answer(() => activities.state(request.caller.nodeId, request.params.activityId, wait(request))),
    setState: ({ caller, params, body }) =>
      answer(() => {
        provider.setState(caller.nodeId, params.activityId, body)
        return null
      }),
    getUsage: (request) =>
      answer(() => activities.usage(request.caller.nodeId, request.params.activityId, wait(request))),
    getCommand: (request) =>
      answer(() => requestor.runningCommand(request.caller.nodeId, request.params.activityId, wait(request))),
    getActivityAgreement: ({ caller, params }) =>
      answer(() => activities.get(caller.nodeId, params.activityId).agreementId),
    getProviderEvents: (request) =>
      answer(async () => {
        const { afterTimestamp: afterUs, appSessionId, maxEvents } = request.query
        const options = { ...wait(request), afterUs, appSessionId, maxEvents }
        const events = await provider.events(request.caller.nodeId, options)
        if (events.length > 0) return events
        throw new ActivityError('timeout', 'no event in time')
      }),
    monitor: async ({ caller, signal }) => new EventStream(plain(provider.monitor(caller.nodeId, { signal }))),
  }
}

/** The listing of activities over the module. */
export function emetActivityRoutes(
  activities: Activities,
  agreements: Pick<AgreementSource, 'get'>,
): RouteHandlers<typeof emetActivityApi> {
  const view = (record: ActivityRecord) => ({
    activityId: record.activityId,
    agreementId: record.agreementId,
    role: record.role === 'provider' ? ('Provider' as const) : ('Requestor' as const),
    peerId: record.peerId,
    state: record.state.state,
    agreementState: agreements.get(record.agreementId, record.ownerId)?.state ?? null,
    reason: record.state.errorMessage ?? record.state.reason ?? null,
    currentUsage: record.usage?.currentUsage ?? null,
    createdAt: record.createdUs,
    updatedAt: record.updatedUs,
  })
  return {
    list: ({ caller, query: { role, ...filter } }) =>
      answer(() => {
        const ownRole = role && (role === 'Provider' ? 'provider' : 'requestor')
        return activities.list(caller.nodeId, { ...filter, role: ownRole }).map(view)
      }),
  }
}

/** Golem wire: `event: runtime`, ids from 0. */
async function* numbered(events: AsyncIterable<unknown>): AsyncIterable<ServerEvent> {
  let id = 0
  for await (const data of events) yield { event: 'runtime', data, id: String(id++) }
}

async function* plain(events: AsyncIterable<unknown>): AsyncIterable<ServerEvent> {
  for await (const data of events) yield { data }
}
