/**
 * The life of a long-running command: it starts, says that it is ready, waits for a signal, and stops in order. Under a
 * parent (`EMET_SUPERVISED`) readiness goes over the IPC channel, and losing that channel means to stop as well: nothing
 * outlives the network it belongs to.
 */
import { CliError } from './errors.ts'

/**
 * After this, a stop that hangs is cut short: Ctrl-C always ends within two seconds. What must not be lost is in the database
 * by then. Children of a network get less, so that their parent has time to end as well.
 */
const STOP_LIMIT_MS = 1_850
/** As above, for a process of a local network. */
export const CHILD_STOP_LIMIT_MS = 1_600

export type Running = {
  /** What to tell the parent. */
  readonly ready: Record<string, unknown>
  stop(): Promise<void>
  /** Settles when the thing ends by itself. */
  readonly ended?: Promise<void>
}

/** Time for the exit code to be set and the last output to leave, once everything has stopped. */
const EXIT_GRACE_MS = 50

export async function runSupervised(start: (signal: AbortSignal) => Promise<Running>): Promise<void> {
  const interrupted = new AbortController()
  const { promise: told, resolve } = Promise.withResolvers<void>()
  const limit = () => setTimeout(() => process.exit(1), process.send ? CHILD_STOP_LIMIT_MS : STOP_LIMIT_MS).unref()
  const onSignal = () => {
    interrupted.abort(new CliError('interrupted', 'interrupted'))
    // From the first signal on, also when it comes during the start.
    limit()
    resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  if (process.send) process.on('disconnect', onSignal)
  // The IPC channel and the signal handlers do not keep a process alive by themselves.
  const keepAlive = setInterval(() => {}, 1_000_000)
  try {
    const running = await start(interrupted.signal)
    process.send?.(running.ready)
    await Promise.race([told, running.ended ?? told])
    limit()
    await running.stop()
    // All of ours has stopped: a timer that a library has left behind does not hold the process for its second.
    setTimeout(() => process.exit(), EXIT_GRACE_MS).unref()
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
  } finally {
    clearInterval(keepAlive)
    if (process.connected) process.disconnect()
  }
}
