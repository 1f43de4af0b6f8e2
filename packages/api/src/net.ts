/** The net API. Golem wire: spec/rest-api.md §2.2. */
import { netStatusSchema } from '@emet/core'
import { defineApi } from './route.ts'

export const netApi = defineApi({
  base: '/net-api/v2',
  tag: 'net',
  description: 'The peer network',
  malformed: { body: 'text', query: 'text', params: 'not-found' },
  routes: {
    getStatus: {
      method: 'GET',
      path: '/net/status',
      summary: 'Addresses of this node and how many peers it has',
      success: { status: 200, body: netStatusSchema },
      errors: [],
    },
  },
})
