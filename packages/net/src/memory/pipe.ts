import type { Clock } from '@emet/core'

/** Bytes that may be under way and unread in one direction of a memory stream before writing waits. */
export const PIPE_BYTES_MAX = 256 * 1024

export type PipeConditions = {
  readonly clock: Clock
  /** How long the next chunk travels. */
  delayMs(): number
  /** Whether nothing gets through at present; `kick` the pipe when that changes. */
  isCut(): boolean
}

/** One direction of a stream: ordered, reliable, delayed. */
export interface Pipe {
  readonly source: AsyncIterable<Uint8Array>
  write(bytes: Uint8Array): Promise<void>
  finish(): void
  /** Ends both sides' waiting with an error. */
  break(reason: Error): void
  kick(): void
}

type Item = { dueMs: number; bytes: Uint8Array | undefined }

export function createPipe({ clock, delayMs, isCut }: PipeConditions): Pipe {
  const inTransit: Item[] = []
  const arrived: (Uint8Array | undefined)[] = []
  let held = 0
  let broken: Error | undefined
  let finished = false
  let lastDueMs = 0
  let timerSet = false
  const readers = new Set<() => void>()
  const writers = new Set<() => void>()

  const wakeAll = (waiting: Set<() => void>) => {
    for (const wake of [...waiting]) wake()
    waiting.clear()
  }
  const deliver = () => {
    if (broken || isCut()) return
    for (let head = inTransit[0]; head && head.dueMs <= clock.monotonicMs(); head = inTransit[0]) {
      inTransit.shift()
      arrived.push(head.bytes)
    }
    wakeAll(readers)
    const head = inTransit[0]
    if (!head || timerSet) return
    timerSet = true
    clock.setTimer(head.dueMs - clock.monotonicMs(), () => {
      timerSet = false
      deliver()
    })
  }
  const put = (bytes: Uint8Array | undefined) => {
    lastDueMs = Math.max(lastDueMs, clock.monotonicMs() + delayMs())
    inTransit.push({ dueMs: lastDueMs, bytes })
    deliver()
  }
  async function* source(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (broken) throw broken
      if (arrived.length > 0) {
        const bytes = arrived.shift()
        if (!bytes) return
        held -= bytes.length
        wakeAll(writers)
        yield bytes
      } else await new Promise<void>((resolve) => readers.add(resolve))
    }
  }
  return {
    source: source(),
    write: async (bytes) => {
      if (broken) throw broken
      if (finished) throw new Error('the stream is finished already')
      held += bytes.length
      put(bytes.slice())
      while (held > PIPE_BYTES_MAX && !broken) await new Promise<void>((resolve) => writers.add(resolve))
      if (broken) throw broken
    },
    finish: () => {
      if (finished || broken) return
      finished = true
      put(undefined)
    },
    break: (reason) => {
      broken ??= reason
      wakeAll(readers)
      wakeAll(writers)
    },
    kick: deliver,
  }
}
