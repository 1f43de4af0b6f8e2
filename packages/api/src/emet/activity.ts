/** Activities of this node in both roles. */
import {
  ACTIVITY_STATES,
  AGREEMENT_STATES,
  instantSchema,
  MARKET_ROLES,
  maybe,
  nodeIdSchema,
  nullable,
  shortTextSchema,
} from '@emet/core'
import { z } from 'zod'
import { booleanQuery, intQuery } from '../query.ts'
import { defineApi } from '../route.ts'
import { EMET_BASE, LIST_ITEMS_MAX, malformed } from './shared.ts'

const activityViewSchema = z
  .object({
    activityId: z.string(),
    agreementId: z.string(),
    role: z.enum(MARKET_ROLES),
    peerId: nodeIdSchema,
    state: z.tuple([z.enum(ACTIVITY_STATES), z.enum(ACTIVITY_STATES).nullable()]),
    agreementState: nullable(z.enum(AGREEMENT_STATES)),
    reason: nullable(z.string()),
    currentUsage: nullable(z.array(z.number())),
    createdAt: instantSchema,
    updatedAt: instantSchema,
  })
  .meta({ id: 'ActivityView' })
export type ActivityViewDocument = z.output<typeof activityViewSchema>

export const emetActivityApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: activity',
  description: 'Activities of this node in both roles',
  malformed,
  routes: {
    list: {
      method: 'GET',
      path: '/activities',
      summary: "The identity's activities in both roles, the newest first",
      query: z.object({
        role: maybe(z.enum(MARKET_ROLES)),
        alive: maybe(booleanQuery).describe('true: only those not terminated; false: only those terminated'),
        agreementId: maybe(shortTextSchema),
        maxItems: maybe(intQuery(1, LIST_ITEMS_MAX)),
      }),
      success: { status: 200, body: z.array(activityViewSchema) },
      errors: [400],
    },
  },
})
