/** One batch: its commands' results as they come, its events, and those who wait for them. */
import { type Clock, formatInstant, formatNaiveInstant, fromMs } from '@emet/core'
import { createEventLog, type EventKind, type RuntimeEvent } from './events.ts'
import { type OutputValue, wireBytesOf } from './output.ts'
import type { ScriptItem } from './script.ts'

/**
 * What the kept output of all commands of one batch may come to on the wire; what comes later is dropped, and the result
 * says so. All results of a batch must fit into one packet.
 */
export const BATCH_OUTPUT_BYTES_MAX = 15 * 1024 * 1024

/** Golem wire: the result of one command. Nulls are there, not left out. */
export type CommandResult = {
  readonly index: number
  readonly result: 'Ok' | 'Error'
  readonly stdout: OutputValue | null
  readonly stderr: OutputValue | null
  readonly message: string | null
  readonly isBatchFinished: boolean
  readonly eventDate: string
}

/** What executing a command has led to. `code` is the program's, or -1 when the supervisor failed. */
export type Outcome = {
  readonly code: number
  readonly message: string | null
  readonly stdout: OutputValue | null
  readonly stderr: OutputValue | null
}

export interface Batch {
  readonly id: string
  readonly items: readonly ScriptItem[]
  readonly results: readonly CommandResult[]
  readonly isFinished: boolean
  /** Index of the command that runs now. */
  readonly running: number | undefined
  /** Bytes of output that are kept. */
  readonly keptBytes: number
  /** What of `BATCH_OUTPUT_BYTES_MAX` is left. */
  readonly outputBytesLeft: number
  begin(index: number): Promise<void>
  tell(index: number, kind: EventKind): Promise<void>
  finish(index: number, outcome: Outcome): Promise<void>
  /** Ends the batch, whether or not all commands have run. */
  close(): void
  /** Resolves when the command at `index` has finished or the batch has ended: true. After `ms`: false. */
  waitFor(index: number, ms: number, signal: AbortSignal): Promise<boolean>
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>
  readonly subscribers: number
}

export function createBatch(clock: Clock, id: string, items: readonly ScriptItem[]): Batch {
  const results: CommandResult[] = []
  const log = createEventLog(clock)
  const waiters = new Set<() => void>()
  let running: number | undefined
  let isFinished = false
  let keptBytes = 0

  const tell = (index: number, kind: EventKind) =>
    log.append({ batch_id: id, index, timestamp: formatNaiveInstant(fromMs(clock.nowMs())), kind })
  const notify = () => {
    for (const waiter of [...waiters]) waiter()
  }
  const close = () => {
    if (isFinished) return
    isFinished = true
    running = undefined
    log.close()
    notify()
  }
  const finish = async (index: number, { code, message, stdout, stderr }: Outcome) => {
    const isOk = code === 0
    running = undefined
    keptBytes += wireBytesOf(stdout) + wireBytesOf(stderr)
    const isBatchFinished = !isOk || index === items.length - 1
    const eventDate = formatInstant(fromMs(clock.nowMs()))
    results.push({ index, result: isOk ? 'Ok' : 'Error', stdout, stderr, message, isBatchFinished, eventDate })
    await tell(index, { finished: { return_code: code, message } })
    if (isBatchFinished) close()
    else notify()
  }
  const waitFor = (index: number, ms: number, signal: AbortSignal) =>
    new Promise<boolean>((resolve) => {
      const isDone = () => isFinished || results.length > index
      const done = () => {
        if (!isDone() && !signal.aborted && !isLate) return
        waiters.delete(done)
        signal.removeEventListener('abort', done)
        cancelTimer?.()
        resolve(isDone())
      }
      let isLate = ms <= 0
      const cancelTimer = isLate
        ? undefined
        : clock.setTimer(ms, () => {
            isLate = true
            done()
          })
      waiters.add(done)
      signal.addEventListener('abort', done, { once: true })
      done()
    })
  if (items.length === 0) close()
  return {
    id,
    items,
    results,
    get isFinished() {
      return isFinished
    },
    get running() {
      return running
    },
    get keptBytes() {
      return keptBytes
    },
    get outputBytesLeft() {
      return Math.max(BATCH_OUTPUT_BYTES_MAX - keptBytes, 0)
    },
    begin: (index) => {
      running = index
      return tell(index, { started: { command: items[index]?.source } })
    },
    tell,
    finish,
    close,
    waitFor,
    events: log.subscribe,
    get subscribers() {
      return log.subscribers
    },
  }
}
