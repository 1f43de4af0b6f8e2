/** Version, caller, health and metrics. Golem wire: spec/rest-api.md §2.1 and §2.2. */
import { callerIdentitySchema, versionInfoSchema } from '@emet/core'
import { z } from 'zod'
import { listQuery } from './query.ts'
import { defineApi } from './route.ts'

export const rootApi = defineApi({
  base: '',
  tag: 'root',
  description: 'Version, caller, health and metrics',
  malformed: { body: 'text', query: 'text', params: 'not-found' },
  routes: {
    getMe: {
      method: 'GET',
      path: '/me',
      summary: 'The identity of the calling app key',
      success: { status: 200, body: callerIdentitySchema },
      errors: [],
    },
    getVersion: {
      method: 'GET',
      path: '/version/get',
      summary: 'The version of this daemon, and the next one if known',
      access: 'open',
      success: { status: 200, body: versionInfoSchema },
      errors: [],
    },
    getHealth: {
      method: 'GET',
      path: '/healthcheck',
      summary: 'Whether all parts work. Failures are problem+json that name the step',
      success: { status: 200, body: z.object({ status: z.literal('ok') }) },
      errors: [],
    },
    getMetrics: {
      method: 'GET',
      path: '/metrics-api/v1/expose',
      summary: 'Metrics in the text form of Prometheus',
      access: 'open',
      success: { status: 200, body: 'text' },
      errors: [],
    },
    getSortedMetrics: {
      method: 'GET',
      path: '/metrics-api/v1/sorted',
      summary: 'The same',
      access: 'open',
      success: { status: 200, body: 'text' },
      errors: [],
    },
    getFilteredMetrics: {
      method: 'GET',
      path: '/metrics-api/v1/filtered/:prefixes',
      summary: 'Metrics whose names begin with one of the comma-joined prefixes',
      access: 'open',
      params: z.object({ prefixes: listQuery }),
      success: { status: 200, body: 'text' },
      errors: [],
    },
    getPushedMetrics: {
      method: 'GET',
      path: '/metrics-api/v1/filtered',
      summary: 'Metrics that are sent to others: none',
      access: 'open',
      success: { status: 200, body: 'text' },
      errors: [],
    },
  },
})
