/** Executes the commands of a batch on the runtime. What goes wrong becomes an outcome; nothing is thrown. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, CodedError, markFault, messageOf } from '@emet/core'
import type { AgreementTerms } from './agreement.ts'
import type { Batch, Outcome } from './batch.ts'
import { ExeUnitError } from './errors.ts'
import type { ProgressEvent } from './events.ts'
import { createGate } from './gate.ts'
import { createOutputKeeper, createTextSplitter, encodeOutput } from './output.ts'
import type { Command, CommandEnd, Instance, RunRequest, Runtime } from './runtime.ts'
import type { CaptureMode, DeployCommand, ExeCommand, RunCommand, TransferCommand } from './script.ts'
import type { Transfers } from './transfer/types.ts'

/** Golem: the code of a command that the supervisor could not carry out. */
const FAILED_CODE = -1
/** What shells answer for a program that was killed, and for one that broke. */
const KILLED_CODE = 137
const TRAPPED_CODE = 134
/** Progress is told this often, unless the command asks for something else within the bounds. */
const PROGRESS_INTERVAL_MS = 1_000
/** Progress is never told more often. */
const PROGRESS_INTERVAL_MS_MIN = 100

export type CommandsDeps = { readonly clock: Clock; readonly runtime: Runtime; readonly transfers: Transfers }

export type CommandsOptions = {
  readonly terms: AgreementTerms
  readonly workDir: string
  readonly commandMs?: number | undefined
}

export interface Commands {
  execute(batch: Batch, index: number, signal: AbortSignal): Promise<Outcome>
  /** Ends what runs, drops the instance. */
  reset(reason: string): Promise<void>
  counters(): Readonly<Record<string, number>>
}

export function createCommands(deps: CommandsDeps, options: CommandsOptions): Commands {
  const gate = createGate(commandsAtOnceMax(deps.runtime, options.terms))
  let instance: Instance | undefined
  let deployments = 0

  const deploy = async (what: DeployCommand, tell: Tell, signal: AbortSignal): Promise<string> => {
    const { capabilities } = deps.runtime
    if ((what.net?.length ?? 0) > 0 && capabilities.network === 'none') {
      throw new ExeUnitError('bad-request', `the runtime ${deps.runtime.name} has no network; deploy without net`)
    }
    const image = await fetchImage(tell, signal)
    const folder = join(options.workDir, `deployment-${++deployments}`)
    await mkdir(folder, { recursive: true })
    const { memoryBytes, storageBytes, cpuThreads } = options.terms
    instance = await deps.runtime.deploy(
      {
        imageFile: image,
        folder,
        limits: { memoryBytes, storageBytes, cpuThreads, commandMs: options.commandMs },
        volumes: Object.keys(what.volumes ?? {}),
        env: what.env ?? {},
        hostname: what.hostname ?? undefined,
        hosts: what.hosts ?? {},
        network: (what.net ?? []).map(({ id, ip, nodeIp, gateway }) => {
          const card = { id, network: ip, address: nodeIp, kind: 'vpn' as const }
          return gateway ? { ...card, gateway } : card
        }),
      },
      { signal },
    )
    return `deployed ${instance.message}`
  }
  const fetchImage = async (tell: Tell, signal: AbortSignal): Promise<string | undefined> => {
    const { taskPackage } = options.terms
    if (deps.runtime.capabilities.image === 'none') return undefined
    if (taskPackage === undefined) {
      throw new ExeUnitError('bad-request', 'the demand has no golem.srv.comp.task_package: nothing to deploy')
    }
    const { file, isCached } = await deps.transfers.fetchImage(taskPackage, { signal, onProgress: tell.progress })
    if (isCached) await tell.message('Deployed image from cache')
    return file
  }
  const needInstance = (): Instance => {
    if (instance) return instance
    throw new ExeUnitError('bad-state', 'Activity is initialized - deploy() command is expected now')
  }
  const transfer = async (what: TransferCommand, tell: Tell, signal: AbortSignal) => {
    const { from, to, format, depth, fileset } = what
    await deps.transfers.transfer(
      { from, to, format: format ?? undefined, depth: depth ?? undefined, fileSet: fileset ?? undefined },
      { volumes: needInstance().volumes, signal, onProgress: tell.progress },
    )
  }
  const reset = async (reason: string) => {
    const old = instance
    instance = undefined
    await old?.stop(reason)
    await rm(join(options.workDir, `deployment-${deployments}`), { recursive: true, force: true })
  }
  const run = async (what: RunCommand, batch: Batch, index: number, signal: AbortSignal): Promise<Outcome> => {
    needInstance()
    const leave = await gate.enter(signal)
    try {
      return await runCommand(needInstance(), what, batch, index, signal)
    } finally {
      leave()
    }
  }
  const perform = async (batch: Batch, index: number, command: ExeCommand, signal: AbortSignal): Promise<Outcome> => {
    const tell = teller(deps.clock, batch, index, command)
    try {
      switch (command.kind) {
        case 'deploy':
          return done(await deploy(command.what, tell, signal))
        case 'start':
          await needInstance().start(command.args, { signal })
          return done(null)
        case 'run':
          return await run(command.what, batch, index, signal)
        case 'transfer':
          await transfer(command.what, tell, signal)
          return done(null)
        case 'terminate':
          await reset('the requestor sent the terminate command')
          return done(null)
        case 'sign':
          throw new ExeUnitError('bad-request', 'signing is not supported: this exe-unit runs in no secure enclave')
      }
    } finally {
      await tell.flush()
    }
  }
  return {
    execute: async (batch, index, signal) => {
      const item = batch.items[index]
      if (!item) return failed(`batch ${batch.id} has no command ${index}`)
      return perform(batch, index, item.command, signal).catch((error: unknown) => failed(tellFailure(error)))
    },
    reset,
    counters: () => instance?.counters() ?? {},
  }
}

/** Golem: an agreement grants threads. Where a command is one thread, no more than that many run at one time. */
function commandsAtOnceMax({ capabilities }: Runtime, { cpuThreads }: AgreementTerms): number {
  const { commandsAtOnceMax: max, threadsPerCommand } = capabilities
  if (cpuThreads === undefined || threadsPerCommand === 'any') return max
  return Math.min(max, Math.max(Math.floor(cpuThreads), 1))
}

const done = (message: string | null): Outcome => ({ code: 0, message, stdout: null, stderr: null })

/** The outcome of a command that the supervisor could not carry out. */
export const failed = (message: string): Outcome => ({ code: FAILED_CODE, message, stdout: null, stderr: null })

/** Says what failed, and marks it when the requestor's own input is the cause: no other provider would do better. */
function tellFailure(error: unknown): string {
  return markFault(error instanceof CodedError ? error.code : undefined, messageOf(error))
}

/** Runs a program, tells its output as it comes, and keeps what the requestor asked for. */
async function runCommand(
  instance: Instance,
  what: RunCommand,
  batch: Batch,
  index: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const request: RunRequest = { entryPoint: what.entry_point, args: what.args ?? [], env: what.env ?? {} }
  const command = await instance.run(request)
  const onAbort = () => command.kill(messageOf(signal.reason))
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    const [stdout, stderr] = await Promise.all([
      pump(command, 'stdout', what.capture?.stdout ?? undefined, batch, index),
      pump(command, 'stderr', what.capture?.stderr ?? undefined, batch, index),
    ])
    const dropped = stdout.droppedBytes + stderr.droppedBytes
    const note = dropped > 0 ? `${dropped} bytes of output were not kept: over the limit of this exe-unit` : null
    return outcomeOf(await command.ended, { stdout: stdout.value, stderr: stderr.value, message: note })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

type Kept = { readonly value: Outcome['stdout']; readonly droppedBytes: number }

/** Golem: without a capture mode the output of a program is read and thrown away. */
async function pump(
  command: Command,
  name: 'stdout' | 'stderr',
  mode: CaptureMode | undefined,
  batch: Batch,
  index: number,
): Promise<Kept> {
  if (!mode) {
    for await (const _ of command[name]);
    return { value: null, droppedBytes: 0 }
  }
  // Both streams may take half of what is left: neither knows how much the other one will bring.
  const keeper = createOutputKeeper(mode, batch.outputBytesLeft / 2)
  const splitter = createTextSplitter()
  const tell = async (bytes: Uint8Array) => {
    if (bytes.length === 0) return
    const value = encodeOutput(bytes, mode.format)
    await batch.tell(index, name === 'stdout' ? { stdout: value } : { stderr: value })
  }
  for await (const chunk of command[name]) {
    const live = keeper.push(chunk)
    if (live) await tell(mode.format === 'text' ? splitter.push(live) : live)
  }
  await tell(splitter.flush())
  return { value: keeper.value(), droppedBytes: keeper.droppedBytes }
}

function outcomeOf(end: CommandEnd, kept: Pick<Outcome, 'stdout' | 'stderr' | 'message'>): Outcome {
  switch (end.kind) {
    case 'exited':
      if (end.code === 0) return { ...kept, code: 0 }
      return { ...kept, code: end.code, message: `ExeScript command exited with code ${end.code}` }
    case 'trapped':
      return { ...kept, code: TRAPPED_CODE, message: `the program broke a rule of its machine: ${end.message}` }
    case 'killed':
      return { ...kept, code: KILLED_CODE, message: `the program was ended: ${end.reason}` }
    case 'failed':
      return { ...kept, code: FAILED_CODE, message: `the runtime failed: ${end.message}` }
  }
}

/** Tells progress, not too often, and the last one always. */
type Tell = {
  readonly progress: (bytes: number, total: number | undefined) => void
  readonly message: (text: string) => Promise<void>
  readonly flush: () => Promise<void>
}

function teller(clock: Clock, batch: Batch, index: number, command: ExeCommand): Tell {
  const wanted = command.kind === 'deploy' || command.kind === 'transfer' ? command.what.progress : undefined
  if (!wanted) return { progress: () => {}, message: async () => {}, flush: async () => {} }
  const intervalMs = Math.max(parseDuration(wanted.updateInterval) ?? PROGRESS_INTERVAL_MS, PROGRESS_INTERVAL_MS_MIN)
  let lastMs = -Infinity
  let latest: ProgressEvent['progress'] | undefined
  const send = async (progress: ProgressEvent['progress'], message: string | null) =>
    batch.tell(index, { progress: { step: [0, 1], message, progress, unit: 'Bytes' } })
  const flush = async () => {
    if (latest) await send(latest, null)
    latest = undefined
  }
  return {
    progress: (bytes, total) => {
      latest = [bytes, total ?? null]
      if (clock.monotonicMs() - lastMs < intervalMs) return
      lastMs = clock.monotonicMs()
      void flush()
    },
    message: (text) => send([0, null], text),
    flush,
  }
}

/** Golem wire: durations as text, `300ms`, `1s`, `1m 30s`. */
function parseDuration(text: string | null | undefined): number | undefined {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  const parts = [...(text ?? '').matchAll(/(\d+)\s*(ms|s|m|h)\b/g)]
  return parts.length === 0
    ? undefined
    : parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0), 0)
}
