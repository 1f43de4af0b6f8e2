/** What this node knows of the market. */
import { maybe, offerSchema } from '@emet/core'
import { z } from 'zod'
import { idParam, intQuery } from '../query.ts'
import { defineApi } from '../route.ts'
import { EMET_BASE, LIST_ITEMS_MAX, malformed } from './shared.ts'

const explanationSchema = z
  .object({
    demandId: z.string(),
    steps: z
      .array(z.object({ name: z.string().describe('e.g. known, live, offer matches demand'), offers: z.int().min(0) }))
      .describe('A funnel: each step keeps some of the offers of the step before'),
    reasons: z
      .array(z.object({ step: z.string(), message: z.string(), offers: z.int().min(0), examples: z.array(z.string()) }))
      .describe('Why offers fell out, the most frequent first'),
  })
  .meta({ id: 'Explanation' })
export type ExplanationDocument = z.output<typeof explanationSchema>

export const emetMarketApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: market',
  description: 'What this node knows of the market',
  malformed,
  routes: {
    listKnownOffers: {
      method: 'GET',
      path: '/market/offers',
      summary: 'The live offers this node knows, of any provider',
      query: z.object({
        constraints: maybe(z.string().max(65_536)).describe('Only offers that match'),
        maxItems: maybe(intQuery(1, LIST_ITEMS_MAX)),
      }),
      success: { status: 200, body: z.array(offerSchema) },
      errors: [400],
    },
    explain: {
      method: 'GET',
      path: '/market/explain/:demandId',
      summary: 'Why a demand finds the offers it finds, and not others',
      params: z.object({ demandId: idParam }),
      success: { status: 200, body: explanationSchema },
      errors: [400, 404],
    },
  },
})
