import { createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import {
  createEventLog,
  EVENTS_BYTES_MAX,
  type RuntimeEvent,
  SUBSCRIBER_ARRIVAL_MS_MAX,
  SUBSCRIBER_STALL_MS_MAX,
} from './events.ts'

const event = (index: number, stdout: string): RuntimeEvent => ({
  ...{ batch_id: 'b', index, timestamp: '2026-01-01T00:00:00.000000' },
  kind: { stdout },
})
const forever = new AbortController().signal
const BIG = 'x'.repeat(EVENTS_BYTES_MAX / 4)

describe('the event log', () => {
  it('replays from the start and ends after the last event', async () => {
    const log = createEventLog(createVirtualClock())
    await log.append(event(0, 'a'))
    const reading = (async () => {
      const got: number[] = []
      for await (const { index } of log.subscribe(forever)) got.push(index)
      return got
    })()
    await log.append(event(1, 'b'))
    log.close()
    expect(await reading).toEqual([0, 1])
    expect(log.subscribers).toBe(0)
  })

  it('waits for the first reader of a program that prints at once, and loses nothing', async () => {
    const clock = createVirtualClock()
    const log = createEventLog(clock)
    const writing = (async () => {
      for (let index = 0; index < 6; index++) await log.append(event(index, BIG))
      log.close()
    })()
    await clock.advance(SUBSCRIBER_ARRIVAL_MS_MAX - 1)
    const got: number[] = []
    for await (const { index, kind } of log.subscribe(forever)) got.push('stdout' in kind ? index : -1)
    await writing
    expect(got).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('forgets the oldest when nobody reads, and says how many are missing', async () => {
    const clock = createVirtualClock()
    const log = createEventLog(clock)
    const writing = (async () => {
      for (let index = 0; index < 6; index++) await log.append(event(index, BIG))
    })()
    await clock.advance(SUBSCRIBER_ARRIVAL_MS_MAX)
    await writing
    log.close()
    const got: RuntimeEvent[] = []
    for await (const it of log.subscribe(forever)) got.push(it)
    expect(got[0]?.kind).toMatchObject({
      progress: { message: '3 events were dropped: they came faster than they were read' },
    })
    expect(got.slice(1).map(({ index }) => index)).toEqual([3, 4, 5])
  })

  it('waits for a reader that reads, and no longer than the stall for one that does not', async () => {
    const clock = createVirtualClock()
    const log = createEventLog(clock)
    const reader = log.subscribe(forever)[Symbol.asyncIterator]()
    for (let index = 0; index < 3; index++) await log.append(event(index, BIG))
    await reader.next()
    let isIn = false
    const fourth = log.append(event(3, BIG)).then(() => {
      isIn = true
    })
    await clock.advance(SUBSCRIBER_STALL_MS_MAX - 1)
    expect(isIn).toBe(false)
    await reader.next()
    await fourth
    const fifth = log.append(event(4, BIG)).then(() => log.append(event(5, BIG)))
    await clock.advance(3 * SUBSCRIBER_STALL_MS_MAX)
    await fifth
    await reader.return?.(undefined)
    expect(log.subscribers).toBe(0)
  })

  it('lets go of a subscriber that has gone', async () => {
    const log = createEventLog(createVirtualClock())
    const controller = new AbortController()
    const next = log.subscribe(controller.signal)[Symbol.asyncIterator]().next()
    expect(log.subscribers).toBe(1)
    controller.abort()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(log.subscribers).toBe(0)
  })
})
