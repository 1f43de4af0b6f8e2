/** Bus services served by a REST client over a WebSocket. Golem wire: spec/rest-api.md §2.7. */
import { SHORT_TEXT_LENGTH_MAX } from '@emet/core'
import { z } from 'zod'
import { idParam } from './query.ts'
import { defineApi, nullSchema } from './route.ts'

/** Most components of one service. */
export const SERVICE_COMPONENTS_MAX = 256

/** The WebSocket subprotocol: FlexBuffers maps in binary frames. */
export const GSB_PROTOCOL = 'gsb+flexbuffers'

const listenSchema = z.object({
  on: z.string().max(SHORT_TEXT_LENGTH_MAX).describe('The bus address to serve'),
  components: z.array(z.string().max(SHORT_TEXT_LENGTH_MAX)).max(SERVICE_COMPONENTS_MAX),
})

const service = z.object({ servicesId: idParam })

export const gsbApi = defineApi({
  base: '/gsb-api/v1',
  tag: 'gsb',
  description: 'Bus services served by a REST client',
  malformed: { body: 'text', query: 'text', params: 'not-found' },
  routes: {
    createService: {
      method: 'POST',
      path: '/services',
      summary: 'Binds a bus address. The answer has a Location header',
      body: z.object({ listen: listenSchema }),
      success: { status: 201, body: z.object({ listen: listenSchema, servicesId: z.string() }) },
      errors: [400],
    },
    openService: {
      method: 'GET',
      path: '/services/:servicesId',
      summary: 'Serves the calls of a bound address over a WebSocket',
      params: service,
      success: { status: 101, body: 'empty' },
      errors: [400, 404],
      websocket: { protocol: GSB_PROTOCOL },
    },
    deleteService: {
      method: 'DELETE',
      path: '/services/:servicesId',
      summary: 'Unbinds a bus address',
      params: service,
      success: { status: 200, body: nullSchema },
      errors: [400, 404],
    },
  },
})
