/** Fakes of core's ports, for tests and the simulator. */
import { type Clock, sleepWith } from './clock.ts'
import type { Random } from './random.ts'

/** A clock that stands still until told otherwise. */
export interface VirtualClock extends Clock {
  /** Moves time on, running each timer that falls due, in order, and letting promises settle in between. */
  advance(ms: number): Promise<void>
  /** How many timers are waiting. */
  readonly pendingTimers: number
}

export function createVirtualClock(startMs = Date.UTC(2026, 0, 1)): VirtualClock {
  let now = startMs
  let sequence = 0
  const timers = new Map<number, { dueMs: number; task: () => void }>()

  const setTimer = (ms: number, task: () => void) => {
    const id = sequence++
    timers.set(id, { dueMs: now + Math.max(ms, 0), task })
    return () => void timers.delete(id)
  }
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const nextDue = (untilMs: number) => {
    let next: [number, { dueMs: number; task: () => void }] | undefined
    for (const entry of timers) {
      if (entry[1].dueMs <= untilMs && (!next || entry[1].dueMs < next[1].dueMs)) next = entry
    }
    return next
  }
  const advance = async (ms: number) => {
    const untilMs = now + ms
    await settle()
    for (let due = nextDue(untilMs); due; due = nextDue(untilMs)) {
      timers.delete(due[0])
      now = due[1].dueMs
      due[1].task()
      await settle()
    }
    now = untilMs
  }
  return {
    nowMs: () => now,
    monotonicMs: () => now - startMs,
    sleep: (ms, signal) => sleepWith({ setTimer }, ms, signal),
    setTimer,
    advance,
    get pendingTimers() {
      return timers.size
    },
  }
}

/** Reproducible randomness (xorshift32). Never for keys. */
export function createSeededRandom(seed: number): Random {
  let state = seed | 0 || 0x9e3779b9
  const nextByte = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state & 0xff
  }
  return { bytes: (count) => Uint8Array.from({ length: count }, nextByte) }
}
