/** The daemon itself. */
import { instantSchema, nodeIdSchema } from '@emet/core'
import { z } from 'zod'
import { defineApi } from '../route.ts'
import { done, EMET_BASE, malformed } from './shared.ts'

const statusSchema = z
  .object({
    nodeId: nodeIdSchema,
    version: z.string(),
    startedAt: instantSchema,
    uptimeSeconds: z.number().min(0),
    peers: z.int().min(0),
    knownOffers: z.int().min(0),
    offers: z.int().min(0),
    demands: z.int().min(0),
    agreements: z.int().min(0).describe('Approved and not terminated'),
    activities: z.int().min(0).describe('Not terminated'),
  })
  .meta({ id: 'NodeStatus' })
export type NodeStatusDocument = z.output<typeof statusSchema>

export const emetNodeApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: node',
  description: 'The daemon itself',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/status',
      summary: 'What the daemon is doing, in numbers',
      success: { status: 200, body: statusSchema },
      errors: [],
    },
    getConfig: {
      method: 'GET',
      path: '/config',
      access: 'manager',
      summary: 'The settings in effect; secrets are left out',
      success: { status: 200, body: z.record(z.string(), z.unknown()) },
      errors: [],
    },
    shutdown: {
      method: 'POST',
      path: '/shutdown',
      access: 'manager',
      summary: 'Stops the daemon, after this answer',
      success: done,
      errors: [],
    },
  },
})
