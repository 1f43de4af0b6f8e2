/** What our additions under `/emet/v1` have in common. They are what the command line, the provider agent and the SDK need. */
import { nodeIdSchema } from '@emet/core'
import { z } from 'zod'
import { type MalformedAnswers, nullSchema } from '../route.ts'

/** Most items of one answer, where the client may ask for fewer. */
export const LIST_ITEMS_MAX = 10_000

/** The path prefix of our additions. */
export const EMET_BASE = '/emet/v1'

/** Every wrong request is a 400 with `{"message"}`. */
export const malformed: MalformedAnswers = { body: 'json', query: 'json', params: 'json' }

/** The answer of actions that carry nothing back. */
export const done = { status: 200, body: nullSchema } as const

export const byNode = z.object({ nodeId: nodeIdSchema })
