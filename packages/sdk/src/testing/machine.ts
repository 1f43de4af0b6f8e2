import { type Clock, type ExeScript, type ExeScriptCommand, fromMs, markFault, type RuntimeEventKind } from '@emet/core'
import { never } from './poll.ts'
import type { FakeActivity, FakeBatch } from './types.ts'

/** `files` are those published on the fake daemon, by URL. */
type MachineDeps = { readonly clock: Clock; readonly files: Map<string, Uint8Array> }

async function execute(
  { clock, files }: MachineDeps,
  activity: FakeActivity,
  command: ExeScriptCommand,
  emit: (kind: RuntimeEventKind) => void,
) {
  const { provider } = activity.contract
  if ('deploy' in command) {
    if (provider.deploys === 'never') await never(activity.halt.signal)
    if (provider.deploys === 'bad-image') throw new Error(markFault('bad-image', 'the image cannot be used'))
    if (provider.deploys === 'no') throw new Error('no space left on device')
  } else if ('transfer' in command) {
    const { from, to } = command.transfer
    const path = (url: string) => url.slice('container:'.length)
    const bytes = from.startsWith('container:') ? activity.files.get(path(from)) : files.get(from)
    if (!bytes) throw new Error(markFault('not-found', `not found: ${from}`))
    emit({ progress: { step: [0, 1], message: null, progress: [bytes.length, bytes.length], unit: 'Bytes' } })
    if (to.startsWith('container:')) activity.files.set(path(to), bytes)
    else files.set(to, bytes)
  } else if ('run' in command) {
    const { entry_point, args = [] } = command.run
    const program = provider.programs?.[entry_point]
    if (!program) throw new Error(markFault('bad-request', `Entrypoint ${entry_point} not found`))
    const { exitCode = 0, stdout = [], stderr = '', ms = 0 } = program({ args, files: activity.files })
    for (const text of stdout) emit({ stdout: text })
    if (stderr) emit({ stderr })
    if (ms > 0) await clock.sleep(ms, activity.halt.signal)
    const output = { stdout: stdout.join('') || null, stderr: stderr || null }
    if (exitCode === 0) return output
    emit({ finished: { return_code: exitCode, message: null } })
    throw Object.assign(new Error(`ExeScript command exited with code ${exitCode}`), { output })
  }
  return { stdout: null, stderr: null }
}
/** Runs a script on a fake machine to its end. */
export async function runScript(
  deps: MachineDeps,
  activity: FakeActivity,
  batchId: string,
  batch: FakeBatch,
  script: ExeScript,
) {
  const us = () => fromMs(deps.clock.nowMs())
  for (const [index, command] of script.entries()) {
    const emit = (kind: RuntimeEventKind) => {
      batch.events.push({ batch_id: batchId, index, timestamp: us(), kind })
      batch.changed.resolve()
      batch.changed = Promise.withResolvers()
    }
    const outcome = await execute(deps, activity, command, emit).then(
      (output) => ({ ...output, result: 'Ok' as const, message: null }),
      (error: Error & { output?: { stdout: string | null; stderr: string | null } }) => ({
        ...(error.output ?? { stdout: null, stderr: null }),
        result: 'Error' as const,
        message: error.message ?? String(error),
      }),
    )
    const isBatchFinished = outcome.result === 'Error' || index === script.length - 1
    batch.results.push({ index, ...outcome, isBatchFinished, eventDate: us() })
    batch.isDone = isBatchFinished
    if (outcome.result === 'Ok') emit({ finished: { return_code: 0, message: null } })
    batch.changed.resolve()
    batch.changed = Promise.withResolvers()
    if (isBatchFinished) return
  }
}
