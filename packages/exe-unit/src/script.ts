/**
 * Exe-scripts as they arrive. Golem wire: an array of objects with one key each; field names inside are snake_case,
 * except those of networks. Unknown fields are dropped, null means absent.
 */
import { z } from 'zod'
import { ExeUnitError } from './errors.ts'

/** Commands of one batch. */
export const BATCH_COMMANDS_MAX = 1_000
/** Arguments of one command. */
export const ARGS_MAX = 4_096
/** One argument, URL or path. */
export const ARG_LENGTH_MAX = 131_072
/** Volumes, networks, hosts and variables of one deploy command, each. */
export const DEPLOY_ITEMS_MAX = 256
/** Patterns of one file set. */
export const FILESET_PATTERNS_MAX = 64

const text = z.string().max(ARG_LENGTH_MAX)
const args = z.array(text).max(ARGS_MAX)
/** FlexBuffers may carry integers as bigint. */
const count = z
  .union([z.number(), z.bigint()])
  .transform(Number)
  .refine((value) => Number.isSafeInteger(value) && value >= 0, 'not a whole number of at least 0')

const few = <S extends z.ZodType>(value: S) =>
  z.record(text, value).refine((map) => Object.keys(map).length <= DEPLOY_ITEMS_MAX, `more than ${DEPLOY_ITEMS_MAX}`)

const formatSchema = z.enum(['str', 'string', 'bin', 'binary'])

/** The part of `atEnd` is flattened; some requestors nest it as `part`, which means the same here. */
const partSchema = z.object({ head: count.nullish(), tail: count.nullish(), headTail: count.nullish() })
const atEndSchema = partSchema.extend({ part: partSchema.nullish(), format: formatSchema.nullish() })
const streamSchema = z.object({ limit: count.nullish(), format: formatSchema.nullish() })

const modeSchema = z.union([
  z.object({ atEnd: atEndSchema }).transform(({ atEnd }): CaptureMode => {
    const { head, tail, headTail } = { ...atEnd, ...atEnd.part }
    const format = formatOf(atEnd.format)
    if (typeof head === 'number') return { kind: 'head', bytes: head, format }
    if (typeof tail === 'number') return { kind: 'tail', bytes: tail, format }
    if (typeof headTail === 'number') return { kind: 'headTail', bytes: headTail, format }
    return { kind: 'all', format }
  }),
  z.object({ stream: streamSchema }).transform(({ stream }): CaptureMode => {
    return { kind: 'stream', bytes: stream.limit ?? undefined, format: formatOf(stream.format) }
  }),
])

export type CaptureFormat = 'text' | 'bytes'

/** How an output stream of a command is kept. All are stored; `stream` is also told live. */
export type CaptureMode =
  | { readonly kind: 'head' | 'tail' | 'headTail'; readonly bytes: number; readonly format: CaptureFormat }
  | { readonly kind: 'all'; readonly format: CaptureFormat }
  | { readonly kind: 'stream'; readonly bytes: number | undefined; readonly format: CaptureFormat }

function formatOf(format: z.infer<typeof formatSchema> | null | undefined): CaptureFormat {
  return format?.startsWith('bin') ? 'bytes' : 'text'
}

const captureSchema = z.object({ stdout: modeSchema.nullish(), stderr: modeSchema.nullish() })

const progressSchema = z.object({ updateInterval: text.nullish(), updateStep: count.nullish() })

const mountSchema = z.union([
  z.object({ host: z.looseObject({}) }).transform(() => ({ kind: 'host' as const })),
  z.object({ ram: z.looseObject({}) }).transform(() => ({ kind: 'ram' as const })),
  z.object({ storage: z.looseObject({}) }).transform(() => ({ kind: 'storage' as const })),
])
const volumesSchema = z.union([
  z
    .array(text)
    .max(DEPLOY_ITEMS_MAX)
    .transform((paths) => Object.fromEntries(paths.map((path) => [path, { kind: 'host' as const }]))),
  few(mountSchema),
])

const networkSchema = z.object({
  id: text,
  ip: text,
  mask: text.nullish(),
  gateway: text.nullish(),
  nodeIp: text,
  nodes: few(text).default({}),
})

const deploySchema = z.object({
  net: z.array(networkSchema).max(DEPLOY_ITEMS_MAX).nullish(),
  hosts: few(text).nullish(),
  hostname: text.nullish(),
  volumes: volumesSchema.nullish(),
  env: few(text).nullish(),
  progress: progressSchema.nullish(),
})

const patterns = z.union([text.transform((it) => [it]), z.array(text).max(FILESET_PATTERNS_MAX)])
const fileSetItem = z.union([
  text.transform((it) => ({ includes: [it], excludes: [] as string[] })),
  z
    .object({ desc: text.nullish(), includes: patterns.nullish(), excludes: patterns.nullish() })
    .transform((it) => ({ includes: it.includes ?? ['**/*'], excludes: it.excludes ?? [] })),
])
const fileSetSchema = z.union([
  z
    .array(fileSetItem)
    .max(FILESET_PATTERNS_MAX)
    .transform((items) => ({
      includes: items.flatMap((it) => it.includes),
      excludes: items.flatMap((it) => it.excludes),
    })),
  fileSetItem,
])

const transferSchema = z.object({
  from: text,
  to: text,
  format: text.nullish(),
  depth: count.nullish(),
  fileset: fileSetSchema.nullish(),
  progress: progressSchema.nullish(),
})

const runSchema = z.object({
  entry_point: text,
  args: args.nullish(),
  capture: captureSchema.nullish(),
  env: few(text).nullish(),
})

const commandSchemas = {
  sign: z.looseObject({}).nullable(),
  deploy: deploySchema,
  start: z.object({ args: args.nullish() }),
  run: runSchema,
  transfer: transferSchema,
  terminate: z.looseObject({}).nullable(),
} as const

export type CommandKind = keyof typeof commandSchemas
export type DeployCommand = z.output<typeof deploySchema>
export type RunCommand = z.output<typeof runSchema>
export type TransferCommand = z.output<typeof transferSchema>
export type FileSet = { readonly includes: readonly string[]; readonly excludes: readonly string[] }

export type ExeCommand =
  | { readonly kind: 'sign' | 'terminate' }
  | { readonly kind: 'deploy'; readonly what: DeployCommand }
  | { readonly kind: 'start'; readonly args: readonly string[] }
  | { readonly kind: 'run'; readonly what: RunCommand }
  | { readonly kind: 'transfer'; readonly what: TransferCommand }

/** A command, and the text of it that results and events repeat. */
export type ScriptItem = { readonly command: ExeCommand; readonly source: unknown }

/** Parses an exe-script. Fails with `bad-request`, which names the command's index, the field and the problem. */
export function parseScript(script: unknown): ScriptItem[] {
  if (!Array.isArray(script)) throw bad('an exe-script is an array of commands')
  if (script.length > BATCH_COMMANDS_MAX) throw bad(`a batch takes at most ${BATCH_COMMANDS_MAX} commands`)
  return script.map((item, index) => ({ command: parseCommand(item, index), source: item }))
}

function parseCommand(item: unknown, index: number): ExeCommand {
  // Golem wire: an enum variant without fields may come as bare text.
  const fields = typeof item === 'string' ? { [item]: {} } : item
  const [entry, ...more] = typeof fields === 'object' && fields !== null ? Object.entries(fields) : []
  if (!entry || more.length > 0) throw bad(`command ${index} is not an object with exactly one key`)
  const [kind, value] = entry
  switch (kind) {
    case 'sign':
    case 'terminate':
      parse(commandSchemas[kind], value, index, kind)
      return { kind }
    case 'deploy':
      return { kind, what: parse(deploySchema, value, index, kind) }
    case 'start':
      return { kind, args: parse(commandSchemas.start, value, index, kind).args ?? [] }
    case 'run':
      return { kind, what: parse(runSchema, value, index, kind) }
    case 'transfer':
      return { kind, what: parse(transferSchema, value, index, kind) }
    default:
      throw bad(`command ${index} is ${JSON.stringify(kind)}, which is no exe-script command`)
  }
}

function parse<S extends z.ZodType>(schema: S, value: unknown, index: number, kind: string): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw bad(`command ${index} (${kind}): ${issue?.path.join('.') || 'value'}: ${issue?.message}`)
}

function bad(message: string): ExeUnitError {
  return new ExeUnitError('bad-request', message)
}
