import { type ExeScript, type RequestorFault, type RuntimeEventKind, readFault } from '@emet/core'
import { failedResult, runBatch } from './batch.ts'
import { readAll } from './bytes.ts'
import type { SdkDeps } from './daemon.ts'
import { golemErrorOf } from './daemon-errors.ts'
import { GolemError, type GolemErrorCode, type Phase } from './errors.ts'
import type { SdkEventBody } from './events.ts'
import { TRANSFER_BATCH_FILES_MAX } from './limits.ts'
import type { Publications } from './payload.ts'
import { withLimit } from './scope.ts'
import type { TransferOptions } from './types.ts'

/** How often a provider reports progress. Golem wire: a duration as text. */
const PROGRESS_INTERVAL = '200ms'

export type MachineInput = {
  readonly activityId: string
  readonly providerId: string
  readonly deployMs: number
  readonly startMs: number
  readonly env: Readonly<Record<string, string>> | undefined
  readonly emit: (event: SdkEventBody) => void
}

/** One activity as a machine: brought up, killed and brought up again, with files moved in and out. */
export interface Machine {
  /** Deploys and starts, if that is not done yet or undone by `halt`. */
  ensureReady(signal: AbortSignal): Promise<void>
  /** Stops whatever runs. The next `ensureReady` begins anew. */
  halt(signal: AbortSignal): Promise<void>
  putAll(
    files: readonly { readonly source: Uint8Array | { readonly path: string }; readonly to: string }[],
    options: TransferOptions,
  ): Promise<void>
  getBytes(from: string, options: TransferOptions): Promise<Uint8Array>
  getTo(from: string, path: string, options: TransferOptions & { readonly format?: string }): Promise<void>
}

type Transfer = { readonly from: string; readonly to: string; readonly path: string; readonly format?: string }

export function createMachine(deps: SdkDeps, publications: Publications, input: MachineInput): Machine {
  const { client, clock } = deps
  const { activityId, providerId, deployMs, startMs, env, emit } = input
  let readiness: Promise<void> | undefined

  const step = async (
    script: ExeScript,
    phase: Phase,
    code: GolemErrorCode,
    signal: AbortSignal,
    onEvent?: OnEvent,
  ) => {
    const batch = { activityId, providerId, script, phase, signal, ...(onEvent ? { onEvent } : {}) }
    const { results } = await runBatch(deps, batch)
    const failed = failedResult(results)
    if (failed) throw stepError(code, phase, providerId, failed.message ?? 'no message')
  }
  const bringUp = async (signal: AbortSignal) => {
    const deploy = { deploy: { progress: { updateInterval: PROGRESS_INTERVAL }, ...(env ? { env: { ...env } } : {}) } }
    emit({ kind: 'image', phase: 'deploy' })
    const tooSlow = (code: 'deploy.slow' | 'start.slow', phase: 'deploy' | 'start', ms: number) => () =>
      stepError(code, phase, providerId, `not done after ${ms / 1000} s`)
    await withLimit(clock, deployMs, signal, tooSlow('deploy.slow', 'deploy', deployMs), (limited) =>
      step([deploy], 'deploy', 'deploy.failed', limited, (_, kind) => onImageProgress(kind, emit)),
    )
    emit({ kind: 'image', phase: 'deployed' })
    emit({ kind: 'image', phase: 'start' })
    await withLimit(clock, startMs, signal, tooSlow('start.slow', 'start', startMs), (limited) =>
      step([{ start: {} }], 'start', 'start.failed', limited),
    )
    emit({ kind: 'image', phase: 'ready' })
  }
  const ensureReady = (signal: AbortSignal) => {
    readiness ??= bringUp(signal).catch((error) => {
      readiness = undefined
      throw error
    })
    return readiness
  }
  const move = async (transfers: readonly Transfer[], direction: 'put' | 'get', options: TransferOptions) => {
    const signal = options.signal ?? new AbortController().signal
    await ensureReady(signal)
    for (const { path } of transfers) emit({ kind: 'transfer', phase: 'begin', direction, path })
    const script = transfers.map(({ from, to, format }) => ({
      transfer: { from, to, ...(format ? { format } : {}), progress: { updateInterval: PROGRESS_INTERVAL } },
    }))
    await step(script, 'transfer', 'transfer.failed', signal, (index, kind) => {
      if (!('progress' in kind)) return
      const [bytes, total] = kind.progress.progress
      const path = transfers[index]?.path ?? ''
      emit({ kind: 'transfer', phase: 'progress', direction, path, bytes, ...(total === null ? {} : { total }) })
      options.onProgress?.(bytes, total ?? undefined)
    })
    for (const { path } of transfers) emit({ kind: 'transfer', phase: 'done', direction, path })
  }
  const putBatch = async (files: Parameters<Machine['putAll']>[0], options: TransferOptions) => {
    const published = await Promise.all(files.map(({ source }) => publications.publish(source, options)))
    try {
      const transfers = files.map(({ to }, at) => ({ from: published[at]?.url ?? '', to: inContainer(to), path: to }))
      await move(transfers, 'put', options)
    } finally {
      await Promise.all(published.map(({ close }) => close().catch(() => {})))
    }
  }
  const receive = async (from: string, path: string | undefined, options: TransferOptions & { format?: string }) => {
    const body = path === undefined ? {} : { path }
    const { url } = await client.emet.files.receive({ body, signal: options.signal })
    try {
      const format = options.format === undefined ? {} : { format: options.format }
      await move([{ from: inContainer(from), to: url, path: from, ...format }], 'get', options)
      if (path !== undefined) return new Uint8Array()
      return await readAll(await client.emet.files.getContent({ query: { url }, signal: options.signal }))
    } finally {
      await client.emet.files.close({ query: { url } }).catch(() => {})
    }
  }
  const inTransfer = <T>(task: Promise<T>, { signal }: TransferOptions) =>
    task.catch((error) => {
      throw golemErrorOf(error, 'transfer', { signal, providerId })
    })
  return {
    ensureReady,
    halt: async (signal) => {
      readiness = undefined
      await runBatch(deps, { activityId, providerId, script: [{ terminate: {} }], phase: 'run', signal })
    },
    putAll: async (files, options) => {
      for (let at = 0; at < files.length; at += TRANSFER_BATCH_FILES_MAX) {
        await inTransfer(putBatch(files.slice(at, at + TRANSFER_BATCH_FILES_MAX), options), options)
      }
    },
    getBytes: (from, options) => inTransfer(receive(from, undefined, options), options),
    getTo: async (from, path, options) => void (await inTransfer(receive(from, path, options), options)),
  }
}

type OnEvent = (index: number, kind: RuntimeEventKind) => void

function onImageProgress(kind: RuntimeEventKind, emit: (event: SdkEventBody) => void): void {
  if (!('progress' in kind)) return
  const { progress, message } = kind.progress
  const [bytes, total] = progress
  emit({
    kind: 'image',
    phase: 'deploy',
    bytes,
    ...(total === null ? {} : { total }),
    ...(message === null ? {} : { message }),
  })
}

/** Golem wire: paths on the machine are `container:` URLs. */
const inContainer = (path: string) => `container:${path.startsWith('/') ? path : `/${path}`}`

function stepError(code: GolemErrorCode, phase: Phase, providerId: string, said: string): GolemError {
  const { fault, text } = readFault(said)
  if (fault && phase !== 'transfer') return inputError(fault, phase, providerId, text)
  return new GolemError(code, `${phase} failed: ${text}`, {
    phase,
    // A transfer may fail for a path the caller has chosen; before that, the machine is the provider's affair.
    blame: phase === 'transfer' ? 'user' : 'provider',
    retryable: phase !== 'transfer',
    providerId,
    facts: fault ? { fault } : {},
  })
}

/**
 * The provider says that what it was given cannot work anywhere. It is believed: to ask another one costs money and time,
 * and one that lies about it earns nothing.
 */
function inputError(fault: RequestorFault, phase: Phase, providerId: string, text: string): GolemError {
  const isImage = fault === 'bad-image' || fault === 'integrity' || fault === 'not-found'
  return new GolemError(isImage ? 'image.invalid' : 'spec.invalid', `${phase} failed: ${text}`, {
    ...{ phase, blame: 'user', retryable: false, providerId, facts: { fault } },
    ...(isImage ? { hint: HINTS[fault] } : {}),
  })
}

const HINTS = {
  'bad-image': 'A WASM runtime takes a core module with _start (build for wasm32-wasip1), or a zip with manifest.json',
  integrity: 'Has the file been changed meanwhile? The hash must be the SHA3 of the very bytes that the URL gives',
  'not-found': 'Nothing is at the URL of the image, as seen from the provider',
} as const
