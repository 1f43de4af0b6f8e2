/** `emet run`: rents one provider, runs a WASM program there, fetches its outputs, and says what it cost. */
import { formatAmount } from '@emet/core'
import {
  amendGolemError,
  connect,
  isGolemError,
  type Receipt,
  type Rental,
  type RunHandle,
  type RunResult,
  type SdkEvent,
  type Session,
} from '@emet/sdk'
import { findDaemon } from '../daemon.ts'
import { createProgress, type Progress } from '../demo/progress.ts'
import { CliError } from '../errors.ts'
import { printable } from '../output.ts'
import type { Action, CommandContext } from './context.ts'
import { type RunOrder, readRunOrder } from './run-order.ts'

/** After Ctrl-C, everything must have ended by then. */
const INTERRUPT_LIMIT_MS = 1_900

export const run: Action = async (context, args, flags) => {
  const order = readRunOrder(args, flags)
  const gone = new AbortController()
  const signal = AbortSignal.any([context.signal, gone.signal])
  const progress = createProgress(order.isQuiet ? { write: () => {} } : process.stderr)
  const spending = createSpending()
  const stopWatching = exitInTime(context.signal, progress, spending)
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => gone.abort(new CliError('interrupted', `output cannot be written: ${error.message}`)))
  }
  try {
    const { subnet, network } = order
    const connection = findDaemon(context.settings, context.env)
    await using session = await connect({ ...connection, subnet, ...(network ? { network } : {}), signal })
    await rentAndRun(context, session, order, progress, spending, signal)
  } catch (error) {
    progress.done()
    if (signal.aborted) tellInterrupted(spending)
    if (gone.signal.aborted) throw gone.signal.reason
    // By now the rental is ended, and its bill is known.
    throw isGolemError(error) ? amendGolemError(error, { costSoFar: spending.total() }) : error
  } finally {
    stopWatching()
  }
}

async function rentAndRun(
  context: CommandContext,
  session: Session,
  order: RunOrder,
  progress: Progress,
  spending: Spending,
  signal: AbortSignal,
): Promise<void> {
  let isPrinting = false
  const shown = new Set<string>()
  session.on((event) => {
    spending.record(event)
    if (!isPrinting || event.kind === 'warning') show(progress, event, shown)
  })
  progress.step('looking for a provider')
  const { budget, durationMs, findMs } = order
  await using machine = await session.rent(
    { payload: { path: order.program }, durationMs },
    { budget: { max: budget }, limits: { find: findMs }, signal },
  )
  if (order.inputs.length > 0) {
    progress.step(`sending ${order.inputs.length} file(s) to ${machine.providerName}`)
    await machine.putAll(order.inputs, { signal })
  }
  progress.done(`running on ${machine.providerName}`)
  isPrinting = true
  const handle = machine.run(order.entryPoint, order.args, { anyExitCode: true, binary: true, signal })
  const [result] = await Promise.all([handle.result, printOutput(handle)])
  isPrinting = false
  const failure = await fetchOutputs(machine, order, progress, result, signal)
  const receipt = await machine.close()
  tellEnd(context, order, result, receipt)
  if (failure !== undefined) throw failure
  signal.throwIfAborted()
  // Only the low byte of an exit code gets through to the shell; a failure must not become a success by that.
  process.exitCode = result.exitCode === 0 ? 0 : result.exitCode & 0xff || 1
}

/** Fetches what can be fetched. Returns the first failure, so that the rental is ended and its cost told all the same. */
async function fetchOutputs(
  machine: Rental,
  { outputs }: RunOrder,
  progress: Progress,
  { exitCode }: RunResult,
  signal: AbortSignal,
): Promise<CliError | undefined> {
  let failure: CliError | undefined
  for (const { from, path } of outputs) {
    progress.update(`fetching ${from}`)
    await machine.getTo(from, { path }, { signal }).catch((error) => {
      if (!isGolemError(error, 'transfer.failed')) throw error
      const isMissing = error.facts['fault'] === 'not-found'
      const why = isMissing
        ? `the program ended with code ${exitCode} and has not written ${from}`
        : `${from} could not be fetched: ${error.summary}`
      failure ??= new CliError('not-found', why, { path: from }, { cause: error })
    })
  }
  progress.done()
  // A program that has failed is expected to leave things out: its exit code says more.
  return exitCode === 0 ? failure : undefined
}

/** Prints output as it comes. A reader that is gone is noticed by the stream's `error` event. */
async function printOutput(handle: RunHandle): Promise<void> {
  const print = async (stream: ReadableStream<Uint8Array>, to: NodeJS.WriteStream) => {
    for await (const chunk of stream) {
      if (to.destroyed) return
      if (to.write(chunk)) continue
      await new Promise<void>((resolve) => {
        const done = () => {
          for (const event of ['drain', 'error', 'close']) to.off(event, done)
          resolve()
        }
        for (const event of ['drain', 'error', 'close']) to.once(event, done)
      })
    }
  }
  await Promise.all([print(handle.stdout(), process.stdout), print(handle.stderr(), process.stderr)])
}

/** `shown`: what need not be told again. */
function show(progress: Progress, event: SdkEvent, shown: Set<string>): void {
  const isRefusal = event.kind === 'offer' && event.phase === 'refused' && event.name && event.reason
  if (isRefusal) {
    const text = `not ${event.name}: ${event.reason}`
    if (!shown.has(text)) progress.step(text)
    shown.add(text)
    return
  }
  // What ends the command is told at its end.
  if (event.kind === 'warning' && isGolemError(event.cause) && !event.cause.retryable) return
  if (event.kind === 'warning') progress.step(event.message)
  else
    progress.update(
      event.kind === 'offer' && event.name ? `offer ${event.phase}: ${event.name}` : `${event.kind} ${event.phase}`,
    )
}

function tellEnd({ output }: CommandContext, order: RunOrder, result: RunResult, receipt: Receipt): void {
  const { exitCode, message } = result
  const { providerName, providerId, seconds, accepted, agreementId, refused } = receipt
  if (output.isJson) {
    const record = { exitCode, providerId, providerName, agreementId, seconds, accepted, refused }
    process.stderr.write(`${JSON.stringify(record, printable)}\n`)
    return
  }
  // How a program has ended that has not ended by itself.
  if (exitCode !== 0 && message !== undefined && !/exited with code/.test(message))
    process.stderr.write(`emet: ${message}\n`)
  for (const reason of refused) process.stderr.write(`emet: not paid to ${providerName}: ${reason}\n`)
  if (order.isQuiet) return
  process.stderr.write(`${formatAmount(accepted)} GLM for ${seconds.toFixed(1)} s on ${providerName}\n`)
}

/** What has been accepted for payment, by provider. */
type Spending = { record(event: SdkEvent): void; total(): bigint; readonly providers: number }

function createSpending(): Spending {
  const accepted = new Map<string, bigint>()
  const rented = new Set<string>()
  return {
    record: (event) => {
      if (event.providerId === undefined) return
      if (event.kind === 'agreement' && event.phase === 'signed') rented.add(event.providerId)
      const isBill = event.kind === 'payment' && (event.phase === 'debit-note' || event.phase === 'invoice')
      if (isBill) accepted.set(event.providerId, event.amount)
    },
    total: () => [...accepted.values()].reduce((sum, amount) => sum + amount, 0n),
    get providers() {
      return rented.size
    },
  }
}

function tellInterrupted(spending: Spending): void {
  const what = spending.providers === 0 ? 'nothing was rented' : 'the rental is ended'
  process.stderr.write(`interrupted: ${what}, ${formatAmount(spending.total())} GLM spent\n`)
}

/** Ctrl-C must end even when a daemon or provider does not answer. */
function exitInTime(signal: AbortSignal, progress: Progress, spending: Spending): () => void {
  let timer: NodeJS.Timeout | undefined
  const onAbort = () => {
    timer = setTimeout(() => {
      progress.done()
      tellInterrupted(spending)
      process.stderr.write(
        'not all of it could be ended in time; see `emet market agreements` and `emet payment allocations`\n',
      )
      process.exit(130)
    }, INTERRUPT_LIMIT_MS)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  return () => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
