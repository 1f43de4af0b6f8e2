/** The activity API. Golem wire: spec/rest-api.md §2.4. */
import {
  activityMonitorSchema,
  activityStateSchema,
  activityUsageSchema,
  createActivityRequestSchema,
  createActivityResultSchema,
  exeScriptCommandResultSchema,
  exeScriptCommandStateSchema,
  exeScriptRequestSchema,
  instantSchema,
  maybe,
  providerEventSchema,
  runtimeEventSchema,
  shortTextSchema,
} from '@emet/core'
import { z } from 'zod'
import { POLL_SECONDS_DEFAULT } from './market.ts'
import { idParam, intQuery, secondsQuery } from './query.ts'
import { defineApi, nullSchema } from './route.ts'

/** Most events per answer; larger numbers are cut to it. */
export const ACTIVITY_EVENTS_MAX = 100

const activity = z.object({ activityId: idParam })
const wait = z.object({ timeout: secondsQuery.default(POLL_SECONDS_DEFAULT) })

export const activityApi = defineApi({
  base: '/activity-api/v1',
  tag: 'activity',
  description: "Use of an agreement's resources",
  malformed: { body: 'text', query: 'text', params: 'not-found' },
  routes: {
    createActivity: {
      method: 'POST',
      path: '/activity',
      summary: 'Creates an activity and waits until it is initialized',
      description:
        'The answer mirrors the body: a bare agreement id gets a bare activity id, an object gets an object.',
      query: wait,
      body: z.union([shortTextSchema, createActivityRequestSchema]),
      success: { status: 200, body: z.union([z.string(), createActivityResultSchema]) },
      errors: [400, 403, 404, 408],
    },
    listActivities: {
      method: 'GET',
      path: '/activity',
      summary: 'The activities of an agreement that this node knows',
      query: z.object({ agreementId: shortTextSchema }),
      success: { status: 200, body: z.array(z.string()) },
      errors: [400],
    },
    destroyActivity: {
      method: 'DELETE',
      path: '/activity/:activityId',
      summary: 'Destroys an activity and waits until it is terminated',
      params: activity,
      query: wait,
      success: { status: 200, body: nullSchema },
      errors: [400, 403, 404, 408],
    },
    exec: {
      method: 'POST',
      path: '/activity/:activityId/exec',
      summary: 'Starts a batch of commands; answers its id',
      params: activity,
      query: wait,
      body: exeScriptRequestSchema,
      success: { status: 200, body: z.string() },
      errors: [400, 403, 404, 408],
    },
    getExecResults: {
      method: 'GET',
      path: '/activity/:activityId/exec/:batchId',
      summary: 'The results of a batch so far; with Accept: text/event-stream, its events as they come',
      description:
        'Waits until the command at commandIndex (default: the last one) has finished. When time is up: with ' +
        'commandIndex 408, without it the results there are.',
      params: z.object({ activityId: idParam, batchId: idParam }),
      query: z.object({ timeout: maybe(secondsQuery), commandIndex: maybe(intQuery(0, 2 ** 31 - 1)) }),
      success: { status: 200, body: z.array(exeScriptCommandResultSchema) },
      events: runtimeEventSchema,
      errors: [400, 403, 404, 408],
    },
    getState: {
      method: 'GET',
      path: '/activity/:activityId/state',
      summary: 'The state of an activity',
      params: activity,
      query: wait,
      success: { status: 200, body: activityStateSchema },
      errors: [400, 403, 404, 408],
    },
    setState: {
      method: 'PUT',
      path: '/activity/:activityId/state',
      summary: 'Sets the state of an activity, for the provider agent',
      params: activity,
      body: activityStateSchema,
      success: { status: 200, body: nullSchema },
      errors: [400, 403, 404],
    },
    getUsage: {
      method: 'GET',
      path: '/activity/:activityId/usage',
      summary: 'The usage of an activity so far',
      params: activity,
      query: wait,
      success: { status: 200, body: activityUsageSchema },
      errors: [400, 403, 404, 408],
    },
    getCommand: {
      method: 'GET',
      path: '/activity/:activityId/command',
      summary: 'What the activity is running now',
      params: activity,
      query: wait,
      success: { status: 200, body: z.array(exeScriptCommandStateSchema) },
      errors: [400, 403, 404, 408],
    },
    getActivityAgreement: {
      method: 'GET',
      path: '/activity/:activityId/agreement',
      summary: 'The agreement of an activity',
      params: activity,
      success: { status: 200, body: z.string() },
      errors: [403, 404],
    },
    getProviderEvents: {
      method: 'GET',
      path: '/events',
      summary: 'Waits for what the provider agent is to do; 408 when there is nothing',
      query: z.object({
        ...wait.shape,
        afterTimestamp: instantSchema,
        appSessionId: maybe(shortTextSchema),
        maxEvents: intQuery(0, 2 ** 32 - 1).default(ACTIVITY_EVENTS_MAX),
      }),
      success: { status: 200, body: z.array(providerEventSchema) },
      errors: [400, 408],
    },
    monitor: {
      method: 'GET',
      path: '/_monitor',
      summary: 'The activities of this provider, at once and after each change',
      success: { status: 200, body: 'events' },
      events: activityMonitorSchema,
      errors: [],
    },
  },
})
