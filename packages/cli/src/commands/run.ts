/** `emet run`: rents one provider, runs a WASM program there, fetches its outputs, and says what it cost. */
import { basename, resolve } from 'node:path'
import { formatAmount } from '@emet/core'
import { connect, type Rental, type RunHandle, type SdkEvent } from '@emet/sdk'
import { findDaemon } from '../daemon.ts'
import { createProgress } from '../demo/progress.ts'
import type { Action } from './context.ts'

const DEFAULT_BUDGET_GLM = '1'
const DEFAULT_TIMEOUT_S = 1800

export const run: Action = async (context, [program = '', ...args], flags) => {
  const { signal } = context
  const list = (value: unknown) => (Array.isArray(value) ? value.map(String) : [])
  const isQuiet = flags['quiet'] === true
  const progress = createProgress(isQuiet ? { write: () => {} } : process.stderr)
  await using session = await connect({ ...findDaemon(context.settings, context.env), signal })
  let isPrinting = false
  const stopShowing = session.on((event) => {
    if (!isPrinting) progress.update(describe(event))
  })
  progress.step('looking for a provider')
  await using machine = await session.rent(
    { payload: { path: resolve(program) }, durationMs: Number(flags['timeout'] ?? DEFAULT_TIMEOUT_S) * 1000 },
    { budget: { max: String(flags['budget'] ?? DEFAULT_BUDGET_GLM) }, signal },
  )
  const inputs = list(flags['in'])
  if (inputs.length > 0) {
    await machine.putAll(
      inputs.map((path) => ({ path: resolve(path), to: `/input/${basename(path)}` })),
      { signal },
    )
  }
  progress.done(`running on ${machine.providerName || machine.providerId}`)
  isPrinting = true
  const handle = machine.run('main', args, { anyExitCode: true, binary: true, signal })
  await printOutput(handle)
  const exitCode = await handle.exitCode
  stopShowing()
  for (const path of list(flags['out'])) {
    await machine.getTo(`/output/${basename(path)}`, { path: resolve(path) }, { signal })
  }
  const receipt = await machine.close()
  if (!isQuiet) process.stderr.write(`${costs(machine, receipt.accepted, receipt.seconds)}\n`)
  process.exitCode = exitCode
}

async function printOutput(handle: RunHandle): Promise<void> {
  const print = async (stream: ReadableStream<Uint8Array>, to: NodeJS.WriteStream) => {
    for await (const chunk of stream) {
      if (!to.write(chunk)) await new Promise((drained) => to.once('drain', drained))
    }
  }
  await Promise.all([print(handle.stdout(), process.stdout), print(handle.stderr(), process.stderr)])
}

function describe(event: SdkEvent): string {
  if (event.kind === 'warning') return event.message
  if (event.kind === 'offer' && event.name) return `offer ${event.phase}: ${event.name}`
  return `${event.kind} ${event.phase}`
}

const costs = (machine: Rental, accepted: bigint, seconds: number): string =>
  `${formatAmount(accepted)} GLM for ${seconds.toFixed(1)} s on ${machine.providerName || machine.providerId}`
