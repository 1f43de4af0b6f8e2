import { silentLogger } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { createBus } from './bus.ts'
import { busErrorCode, describeBus, somePeer } from './testing.ts'

const make = (options = {}) => {
  const clock = createVirtualClock()
  return { clock, bus: createBus({ clock, logger: silentLogger }, options) }
}

describeBus('the bus of one process', async () => {
  const { clock, bus } = make()
  return { caller: bus, callee: bus, clock, settle: async () => {}, dispose: async () => bus.close() }
})

describe('in one process', () => {
  it('values are passed as they are', async () => {
    const { bus } = make()
    const value = { notEncodable: () => 1 }
    bus.bind('/local/x/Y', async (call) => call.body.value())
    expect(await bus.call('/local/x/Y', value)).toBe(value)
  })
  it('the caller is local unless said otherwise', async () => {
    const { bus } = make()
    bus.bind('/local/x/Who', async (call) => call.caller)
    expect(await bus.call('/local/x/Who', null)).toEqual({ kind: 'local' })
    expect(await bus.call('/local/x/Who', null, { caller: somePeer })).toEqual(somePeer)
  })
  it('calls under way are limited', async () => {
    const { bus } = make({ concurrentCallsMax: 2 })
    const never = new Promise(() => {})
    bus.bind('/local/x/Never', () => never)
    bus.bind('/local/x/Y', async () => 1)
    const abort = new AbortController()
    const waiting = [1, 2].map(() => bus.call('/local/x/Never', null, { signal: abort.signal }).catch(() => 'aborted'))
    expect(await busErrorCode(bus.call('/local/x/Y', null))).toBe('overloaded')
    abort.abort()
    await Promise.all(waiting)
    expect(await bus.call('/local/x/Y', null)).toBe(1)
  })
  it('a handler that answers nothing like a result is found out', async () => {
    const { bus } = make()
    const { Body } = await import('./body.ts')
    bus.route('/local/x', async function* () {
      yield Body.of('neither')
    })
    bus.route('/local/empty', async function* () {})
    expect(await busErrorCode(bus.call('/local/x/Y', null))).toBe('bad-request')
    expect(await busErrorCode(bus.call('/local/empty/Y', null))).toBe('closed')
  })
  it('a failing subscriber does not keep others from the news', () => {
    const { bus } = make()
    const seen: unknown[] = []
    bus.subscribe('t', () => {
      throw new Error('bug')
    })
    bus.subscribe('t', (body) => seen.push(body.value()))
    bus.publish('t', 1)
    expect(seen).toEqual([1])
  })
})
