/** The commands of an exe-script, tagged by their one key. Golem wire: spec/rest-api.md §3.3, "ExeScriptCommand forms". */
import { z } from 'zod'
import { maybe } from './wire.ts'

/** Most commands in one exe-script. */
export const EXE_SCRIPT_COMMANDS_MAX = 10_000

/** Most arguments of one command. */
export const COMMAND_ARGUMENTS_MAX = 65_536

const argsSchema = maybe(z.array(z.string()).max(COMMAND_ARGUMENTS_MAX))

/** How often progress is wanted: `updateInterval` is a text such as `300ms`, `updateStep` counts bytes. */
export const progressArgsSchema = z.object({ updateInterval: maybe(z.string()), updateStep: maybe(z.number()) })
export type ProgressArgs = z.output<typeof progressArgsSchema>

/** Text or bytes. The long names are aliases. */
const formatSchema = maybe(
  z.codec(z.enum(['str', 'string', 'bin', 'binary']), z.enum(['str', 'bin']), {
    decode: (name) => (name.startsWith('str') ? 'str' : 'bin'),
    encode: (name) => name,
  }),
)

const sizeLimitSchema = maybe(z.number().min(0))

/** Which part of a program's output is kept, in bytes, and handed over at its end. */
const captureAtEndSchema = z.object({
  head: sizeLimitSchema,
  tail: sizeLimitSchema,
  headTail: sizeLimitSchema,
  format: formatSchema,
})
const captureStreamSchema = z.object({ limit: sizeLimitSchema, format: formatSchema })

/** How one output stream of a program is captured: at its end, or streamed as runtime events. */
export const captureModeSchema = z.union([
  z.strictObject({ atEnd: captureAtEndSchema }),
  z.strictObject({ stream: captureStreamSchema }),
])
export type CaptureMode = z.output<typeof captureModeSchema>

export const captureSchema = z.object({ stdout: maybe(captureModeSchema), stderr: maybe(captureModeSchema) })
export type Capture = z.output<typeof captureSchema>

/** Bytes as a number, or text such as `10GiB` or `7000m`. */
const byteSizeSchema = z.union([z.string(), z.number().min(0)])

const volumeInfoSchema = z.union([
  z.strictObject({ host: z.object({}) }),
  z.strictObject({ ram: z.object({ size: byteSizeSchema }) }),
  z.strictObject({
    storage: z.object({ size: byteSizeSchema, preallocate: maybe(z.boolean()), errors: maybe(z.string()) }),
  }),
])

/** A virtual network that the activity joins. `nodes` maps IP addresses to node ids. */
export const deploymentNetworkSchema = z.object({
  id: z.string(),
  ip: z.string(),
  mask: maybe(z.string()),
  gateway: maybe(z.string()),
  nodeIp: z.string(),
  nodes: z.record(z.string(), z.string()),
})
export type DeploymentNetwork = z.output<typeof deploymentNetworkSchema>

export const deployCommandSchema = z.object({
  net: maybe(z.array(deploymentNetworkSchema)),
  hosts: maybe(z.record(z.string(), z.string())),
  hostname: maybe(z.string()),
  volumes: maybe(z.union([z.array(z.string()), z.record(z.string(), volumeInfoSchema)])),
  env: maybe(z.record(z.string(), z.string())),
  progress: maybe(progressArgsSchema),
})
export type DeployCommand = z.output<typeof deployCommandSchema>

export const startCommandSchema = z.object({ args: argsSchema })
export type StartCommand = z.output<typeof startCommandSchema>

/** `entry_point` is spelt with an underscore on the wire. */
export const runCommandSchema = z.object({ entry_point: z.string(), args: argsSchema, capture: maybe(captureSchema) })
export type RunCommand = z.output<typeof runCommandSchema>

const fileSetSchema = z.union([
  z.string(),
  z.object({
    desc: maybe(z.string()),
    includes: maybe(z.union([z.string(), z.array(z.string())])),
    excludes: maybe(z.union([z.string(), z.array(z.string())])),
  }),
])

/** Copies between URLs: `http(s):`, `gftp:` and `container:/path`. */
export const transferCommandSchema = z.object({
  from: z.string(),
  to: z.string(),
  format: maybe(z.string()),
  depth: maybe(z.number().min(0)),
  fileset: maybe(z.union([fileSetSchema, z.array(fileSetSchema)])),
  progress: maybe(progressArgsSchema),
})
export type TransferCommand = z.output<typeof transferCommandSchema>

export const EXE_COMMAND_NAMES = ['deploy', 'start', 'run', 'transfer', 'terminate', 'sign'] as const
export type ExeCommandName = (typeof EXE_COMMAND_NAMES)[number]

/** One command: an object with one key, the command's name. */
export const exeScriptCommandSchema = z
  .union([
    z.strictObject({ deploy: deployCommandSchema }),
    z.strictObject({ start: startCommandSchema }),
    z.strictObject({ run: runCommandSchema }),
    z.strictObject({ transfer: transferCommandSchema }),
    z.strictObject({ terminate: z.object({}) }),
    z.strictObject({ sign: z.object({}) }),
  ])
  .meta({ id: 'ExeScriptCommand' })
export type ExeScriptCommand = z.output<typeof exeScriptCommandSchema>

export const exeScriptSchema = z.array(exeScriptCommandSchema).max(EXE_SCRIPT_COMMANDS_MAX)
export type ExeScript = z.output<typeof exeScriptSchema>

const payloads: Record<ExeCommandName, z.ZodType> = {
  deploy: deployCommandSchema,
  start: startCommandSchema,
  run: runCommandSchema,
  transfer: transferCommandSchema,
  terminate: z.object({}),
  sign: z.object({}),
}

/** The name of a command. */
export function commandName(command: ExeScriptCommand): ExeCommandName {
  const [name] = Object.keys(command)
  return name as ExeCommandName
}

/** Parses the text of an exe-script. Returns it, or a message that names the command and the field at fault. */
export function parseExeScript(text: string): { ok: true; script: ExeScript } | { ok: false; message: string } {
  let items: unknown
  try {
    items = JSON.parse(text)
  } catch (cause) {
    return { ok: false, message: `the exe-script is not JSON: ${cause instanceof Error ? cause.message : cause}` }
  }
  if (!Array.isArray(items)) return { ok: false, message: 'the exe-script is not an array of commands' }
  if (items.length > EXE_SCRIPT_COMMANDS_MAX)
    return {
      ok: false,
      message: `the exe-script has ${items.length} commands, the limit is ${EXE_SCRIPT_COMMANDS_MAX}`,
    }
  for (const [index, item] of items.entries()) {
    const fault = faultOf(item)
    if (fault) return { ok: false, message: `command ${index} of the exe-script: ${fault}` }
  }
  const parsed = exeScriptSchema.safeParse(items)
  return parsed.success ? { ok: true, script: parsed.data } : { ok: false, message: z.prettifyError(parsed.error) }
}

function faultOf(item: unknown): string | undefined {
  const names = typeof item === 'object' && item !== null ? Object.keys(item) : []
  const [name = ''] = names
  if (names.length !== 1) return 'it is not an object with one key, the name of the command'
  if (!Object.hasOwn(payloads, name))
    return `unknown command ${JSON.stringify(name.slice(0, 64))}, one of ${EXE_COMMAND_NAMES.join(', ')} is expected`
  const result = payloads[name as ExeCommandName].safeParse((item as Record<string, unknown>)[name])
  const issue = result.error?.issues[0]
  return issue && `${[name, ...issue.path].join('.')}: ${issue.message}`
}
