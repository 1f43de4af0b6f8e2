import { nodeId, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import type { Peer } from '../types.ts'
import { pauseMs, RECONNECT_PAUSE_MAX_MS, RECONNECT_PAUSE_MIN_MS, startKeeper } from './keeper.ts'

const peer: Peer = {
  nodeId: nodeId(`0x${'1'.repeat(40)}`),
  state: 'connected',
  roles: ['relay'],
  aliases: [],
  path: 'direct',
  transport: 'test',
}

describe('bootstrap peers', () => {
  it('are tried again with growing, bounded, jittered pauses', () => {
    const random = createSeededRandom(1)
    for (let failures = 0; failures < 30; failures++) {
      const full = Math.min(RECONNECT_PAUSE_MAX_MS, RECONNECT_PAUSE_MIN_MS * 2 ** failures)
      const pause = pauseMs(failures, random)
      expect(pause).toBeGreaterThanOrEqual(full / 2)
      expect(pause).toBeLessThanOrEqual(full)
    }
    expect(new Set(Array.from({ length: 10 }, () => pauseMs(3, random))).size).toBeGreaterThan(1)
  })
  it('are connected to again after a loss, and the pauses begin anew', async () => {
    const clock = createVirtualClock()
    let isUp = false
    let attempts = 0
    let lose = () => {}
    const keeper = startKeeper(['somewhere'], {
      clock,
      random: createSeededRandom(2),
      logger: silentLogger,
      connect: async () => {
        attempts++
        if (!isUp) throw new Error('down')
        return peer
      },
      untilGone: (_, signal) =>
        new Promise((resolve, reject) => {
          lose = resolve
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
      onChange: () => {},
    })
    await keeper.tried
    await clock.advance(60_000)
    expect(attempts).toBeGreaterThan(5)
    expect(attempts).toBeLessThan(15)
    expect(keeper.states().get('somewhere')).toBe('backing-off')
    isUp = true
    await clock.advance(RECONNECT_PAUSE_MAX_MS)
    expect(keeper.states().get('somewhere')).toBe('connected')
    const attemptsBefore = attempts
    lose()
    await clock.advance(RECONNECT_PAUSE_MIN_MS)
    expect(attempts).toBe(attemptsBefore + 1)
    expect(keeper.states().get('somewhere')).toBe('connected')
    await keeper.stop()
    expect(clock.pendingTimers).toBe(0)
  })
})
