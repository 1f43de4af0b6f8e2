/** Activity documents. Golem wire: spec/rest-api.md §3.3. */
import { z } from 'zod'
import { exeScriptCommandSchema } from './exe-script.ts'
import { instantSchema, maybe, naiveInstantSchema, nullable, outputSchema, shortTextSchema } from './wire.ts'

export const createActivityRequestSchema = z
  .object({ agreementId: shortTextSchema, requestorPubKey: maybe(shortTextSchema) })
  .meta({ id: 'CreateActivityRequest' })
export type CreateActivityRequest = z.output<typeof createActivityRequestSchema>

export const createActivityResultSchema = z
  .object({ activityId: z.string(), credentials: maybe(z.unknown()) })
  .meta({ id: 'CreateActivityResult' })
export type CreateActivityResult = z.output<typeof createActivityResultSchema>

export const ACTIVITY_STATES = ['New', 'Initialized', 'Deployed', 'Ready', 'Terminated', 'Unresponsive'] as const
export type ActivityStateName = (typeof ACTIVITY_STATES)[number]

const stateNameSchema = z.enum(ACTIVITY_STATES)

/** `state` holds the present state, and the one that a transition under way leads to. */
export const activityStateSchema = z
  .object({
    state: z.tuple([stateNameSchema, stateNameSchema.nullable()]),
    reason: maybe(z.string()),
    errorMessage: maybe(z.string()),
  })
  .meta({ id: 'ActivityState' })
export type ActivityState = z.output<typeof activityStateSchema>

/** Usage in the order of the offer's `golem.com.usage.vector`. `timestamp` is in whole seconds since the epoch. */
export const activityUsageSchema = z
  .object({ currentUsage: maybe(z.array(z.number())), timestamp: z.int() })
  .meta({ id: 'ActivityUsage' })
export type ActivityUsage = z.output<typeof activityUsageSchema>

/** `text` is the JSON text of an array of commands; see `parseExeScript`. */
export const exeScriptRequestSchema = z.object({ text: z.string() }).meta({ id: 'ExeScriptRequest' })
export type ExeScriptRequest = z.output<typeof exeScriptRequestSchema>

export const exeScriptCommandStateSchema = z
  .object({
    command: z.enum(['Deploy', 'Start', 'Run', 'Transfer', 'Terminate', 'Sign']),
    progress: maybe(z.string()),
    params: maybe(z.array(z.string())),
  })
  .meta({ id: 'ExeScriptCommandState' })
export type ExeScriptCommandState = z.output<typeof exeScriptCommandStateSchema>

/** The result of one finished command. The nulls are written out. */
export const exeScriptCommandResultSchema = z
  .object({
    index: z.int().min(0),
    result: z.enum(['Ok', 'Error']),
    stdout: nullable(outputSchema),
    stderr: nullable(outputSchema),
    message: nullable(z.string()),
    isBatchFinished: z.boolean(),
    eventDate: instantSchema,
  })
  .meta({ id: 'ExeScriptCommandResult' })
export type ExeScriptCommandResult = z.output<typeof exeScriptCommandResultSchema>

/** Progress of a command: steps done of all, and units (bytes, if `unit` says so) done of all in this step. */
export const commandProgressSchema = z.object({
  step: z.tuple([z.number(), z.number()]),
  message: nullable(z.string()),
  progress: z.tuple([z.number(), z.number().nullable()]),
  unit: nullable(z.string()),
})
export type CommandProgress = z.output<typeof commandProgressSchema>

export const runtimeEventKindSchema = z.union([
  z.strictObject({ started: z.object({ command: exeScriptCommandSchema }) }),
  z.strictObject({ finished: z.object({ return_code: z.int(), message: nullable(z.string()) }) }),
  z.strictObject({ stdout: outputSchema }),
  z.strictObject({ stderr: outputSchema }),
  z.strictObject({ progress: commandProgressSchema }),
])
export type RuntimeEventKind = z.output<typeof runtimeEventKindSchema>

/** What happens while a batch runs, as streamed. Spelt with underscores, and its time has no zone. */
export const runtimeEventSchema = z
  .object({
    batch_id: z.string(),
    index: z.int().min(0),
    timestamp: naiveInstantSchema,
    kind: runtimeEventKindSchema,
  })
  .meta({ id: 'RuntimeEvent' })
export type RuntimeEvent = z.output<typeof runtimeEventSchema>

/** What the provider agent is to do: create or destroy an activity. */
export const providerEventSchema = z
  .object({
    activityId: z.string(),
    agreementId: z.string(),
    eventType: z.union([
      z.strictObject({ CreateActivity: z.object({ requestorPubKey: maybe(z.string()) }) }),
      z.strictObject({ DestroyActivity: z.object({}) }),
    ]),
    eventDate: instantSchema,
  })
  .meta({ id: 'ProviderEvent' })
export type ProviderEvent = z.output<typeof providerEventSchema>

/** The provider's view of one activity, as `/_monitor` streams it. */
export const activityMonitorSchema = z
  .object({
    ts: instantSchema,
    activities: z.array(
      z.object({
        id: z.string(),
        state: z.string(),
        usage: maybe(z.record(z.string(), z.number())),
        exeUnit: nullable(z.string()),
        agreementId: z.string(),
      }),
    ),
  })
  .meta({ id: 'ActivityMonitor' })
export type ActivityMonitor = z.output<typeof activityMonitorSchema>
