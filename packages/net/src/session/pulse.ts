import type { Clock } from '@emet/core'

/** A session with no byte from the peer for this long is asked for a sign of life. */
export const PING_INTERVAL_MS = 15_000

/** A peer that says nothing for this long after a ping is gone. */
export const PING_TIMEOUT_MS = 10_000

type PulseDeps = {
  clock: Clock
  sendPing(id: number): void
  /** The peer has been silent for too long. */
  onSilence(silentMs: number): void
}

/** Finds out whether the peer is alive, and how far away it is. */
export interface Pulse {
  readonly roundTripMs: number | undefined
  start(): void
  /** Something came from the peer: it lives. */
  heard(): void
  /** True when this pong told a new round trip. */
  onPong(id: number): boolean
  stop(): void
}

export function createPulse({ clock, sendPing, onSilence }: PulseDeps): Pulse {
  let heardMs = clock.monotonicMs()
  let roundTripMs: number | undefined
  let pinged: { id: number; atMs: number } | undefined
  let lastId = 0
  let cancel = () => {}
  let stopped = false

  const ping = () => {
    lastId = (lastId % 0xffff_ffff) + 1
    pinged = { id: lastId, atMs: clock.monotonicMs() }
    sendPing(lastId)
  }
  const beat = () => {
    const nowMs = clock.monotonicMs()
    if (pinged && nowMs - Math.max(pinged.atMs, heardMs) >= PING_TIMEOUT_MS) return onSilence(nowMs - heardMs)
    if (!pinged) ping()
    next()
  }
  const next = () => {
    if (!stopped) cancel = clock.setTimer(pinged ? PING_TIMEOUT_MS : PING_INTERVAL_MS, beat)
  }
  return {
    get roundTripMs() {
      return roundTripMs
    },
    start: () => {
      ping()
      next()
    },
    heard: () => {
      heardMs = clock.monotonicMs()
    },
    onPong: (id) => {
      if (pinged?.id !== id) return false
      roundTripMs = clock.monotonicMs() - pinged.atMs
      pinged = undefined
      return true
    },
    stop: () => {
      stopped = true
      cancel()
    },
  }
}
