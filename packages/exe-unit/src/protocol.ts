/**
 * What others need to know of exe-units: how to start one, and the names and addresses of its messages.
 *
 *     exe-unit [options] service-bus <activityId> <reportUrl> -a AGREEMENT -w WORKDIR -c CACHEDIR
 *     exe-unit [options] offer-template
 *     exe-unit [options] test
 *
 * Golem: this is the command line of existing exe-units too; options that only they or only we know come before the
 * subcommand.
 */
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

/** As in `golem.runtime.name`: what requestors of WASI programs ask for. */
export const WASM_RUNTIME_NAME = 'wasmtime'
/** As in `golem.runtime.version`. */
export const WASM_RUNTIME_VERSION = '0.3.0'

/** Where an exe-unit reports its state and usage. Golem wire: the daemon's local activity service. */
export const REPORT_URL = '/local/activity'
/** How often usage is reported. Golem wire: a daemon takes 5 s of silence for an unresponsive exe-unit. */
export const USAGE_REPORT_INTERVAL_MS = 1_000
/** How long a supervisor that was told to end may take before it may be killed. */
export const TERMINATION_MS_MAX = 5_000

/** The address below which an exe-unit's messages are bound: `/public/exeunit/<activityId>/<Message>`. */
export function exeUnitAddress(activityId: string): string {
  return `/public/exeunit/${activityId}`
}

/** Messages of an exe-unit. Golem wire: the last component of the address. */
export const EXE_UNIT_MESSAGES = {
  exec: 'Exec',
  getExecBatchResults: 'GetExecBatchResults',
  streamExecBatchResults: 'StreamExecBatchResults',
  getRunningCommand: 'GetRunningCommand',
  getActivityState: 'GetActivityState',
  getActivityUsage: 'GetActivityUsage',
} as const

/** Messages that an exe-unit sends to its report URL. */
export const REPORT_MESSAGES = { setActivityState: 'SetActivityState', setActivityUsage: 'SetActivityUsage' } as const

/** Which runtimes the supervisor of this package has. */
export const RUNTIME_CHOICES = ['wasm', 'mock'] as const
export type RuntimeChoice = (typeof RUNTIME_CHOICES)[number]

/** Default order of usage counters. Golem: the supervisor's own offer template. */
export const USAGE_COUNTERS = [
  'golem.usage.duration_sec',
  'golem.usage.cpu_sec',
  'golem.usage.gib',
  'golem.usage.storage_gib',
] as const

/** What `offer-template` prints: flat properties and constraints for the offer. */
export const offerTemplateSchema = z.object({
  properties: z.record(z.string(), z.unknown()),
  constraints: z.string(),
})

/**
 * Describes an exe-unit that a provider agent can start, as the descriptor files of existing providers do.
 * `program` and `args` go before everything that `launchCommand` adds.
 */
export type ExeUnitDescriptor = {
  /** As in `golem.runtime.name`. */
  readonly name: string
  readonly version: string
  readonly description: string
  readonly program: string
  readonly args: readonly string[]
  /** Further properties of the offer, below `golem.runtime.`. */
  readonly properties: Readonly<Record<string, unknown>>
}

/**
 * The exe-unit of this package with the wasm runtime. `node`: the engine to run it with, at least version 24. `isolation`:
 * `in-memory` runs programs without bubblewrap, on copies of their files; only V8 then confines them.
 */
export function wasmDescriptor(node: string, isolation: 'bubblewrap' | 'in-memory' = 'bubblewrap'): ExeUnitDescriptor {
  const isJailed = isolation === 'bubblewrap'
  return {
    name: WASM_RUNTIME_NAME,
    version: WASM_RUNTIME_VERSION,
    description: `WebAssembly programs (WASI preview 1) on V8, ${isJailed ? 'confined with bubblewrap' : 'on files in memory'}`,
    program: node,
    args: [
      '--disable-warning=ExperimentalWarning',
      supervisorScript(),
      '--runtime',
      'wasm',
      ...(isJailed ? [] : ['--in-memory']),
    ],
    properties: {},
  }
}

export type LaunchOptions = {
  readonly activityId: string
  /** Folder of this activity; it is created, and removed in the end unless `keepWorkDir`. */
  readonly workDir: string
  /** Folder of fetched images, shared by all activities. */
  readonly cacheDir: string
  /** File with the agreement as JSON. */
  readonly agreementFile: string
  /** The daemon's local bus socket: `unix:/path` or `tcp://127.0.0.1:7464`. */
  readonly busUrl: string
  readonly reportUrl?: string
  readonly keepWorkDir?: boolean
}

/** The program and arguments that start the supervisor of an activity. Ending it: SIGTERM, then SIGKILL. */
export function launchCommand(
  descriptor: ExeUnitDescriptor,
  options: LaunchOptions,
): [program: string, args: string[]] {
  const args = [
    ...descriptor.args,
    ...['--gsb-url', options.busUrl],
    ...(options.keepWorkDir ? ['--keep-work-dir'] : []),
    ...['service-bus', options.activityId, options.reportUrl ?? REPORT_URL],
    ...['-c', options.cacheDir, '-w', options.workDir, '-a', options.agreementFile],
  ]
  return [descriptor.program, args]
}

/** The program and arguments that print the offer template, or test the runtime on this machine. */
export function queryCommand(
  descriptor: ExeUnitDescriptor,
  query: 'offer-template' | 'test',
): [program: string, args: string[]] {
  return [descriptor.program, [...descriptor.args, query]]
}

/** Path of the supervisor's program. */
export function supervisorScript(): string {
  return fileURLToPath(new URL('./main.ts', import.meta.url))
}
