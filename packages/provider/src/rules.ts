import { nodeIdSchema } from '@emet/core'
import { z } from 'zod'

/** Whom to trade with. The file form is the original provider's `rules.json`; certificates come with manifests. */
const listSchema = z.object({ enabled: z.boolean().default(false), identity: z.array(nodeIdSchema).default([]) })

export const rulesFileSchema = z.object({
  blacklist: listSchema.default({ enabled: false, identity: [] }),
  'allow-only': listSchema.default({ enabled: false, identity: [] }),
})
export type Rules = z.output<typeof rulesFileSchema>

export const globalsFileSchema = z.object({
  node_name: z.string().min(1).max(200).nullish(),
  subnet: z.string().min(1).max(100).nullish(),
  account: nodeIdSchema.nullish(),
})
export type Globals = z.output<typeof globalsFileSchema>
