import { BusError, createBus, ReplyError } from '@emet/bus'
import { silentLogger } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import { describe, expect, it } from 'vitest'
import { createReporter, ORPHAN_MS } from './reporter.ts'
import type { StatePair } from './state.ts'

const stateOf = (name: StatePair[0]) => ({ state: [name, null] as const, reason: null, errorMessage: null })

function setUp() {
  const clock = createVirtualClock()
  const bus = createBus({ clock, logger: silentLogger })
  const told: string[] = []
  const lost: string[] = []
  let failure: unknown
  bus.bind('/r/SetActivityState', async ({ body }) => {
    if (failure) throw failure
    told.push((body.value() as { state: { state: StatePair } }).state.state[0])
    return null
  })
  bus.bind('/r/SetActivityUsage', async ({ body }) => {
    if (failure) throw failure
    told.push(`usage ${(body.value() as { usage: { currentUsage: number[] } }).usage.currentUsage}`)
    return null
  })
  const deps = { bus, clock, logger: silentLogger, onLost: (why: string) => void lost.push(why) }
  const reporter = createReporter(deps, { activityId: 'a', reportUrl: '/r' })
  const fail = (with_: unknown) => {
    failure = with_
  }
  return { clock, reporter, told, lost, fail }
}

describe('the reporter', () => {
  it('tells the newest state until the daemon takes it', async () => {
    const { clock, reporter, told, fail } = setUp()
    fail(new BusError('closed', 'no daemon'))
    reporter.setState(stateOf('Initialized'))
    reporter.setState(stateOf('Deployed'))
    await clock.advance(5_000)
    expect(told).toEqual([])
    fail(undefined)
    await clock.advance(1_000)
    await reporter.flushed(new AbortController().signal)
    expect(told).toEqual(['Deployed'])
  })

  it('tells usage every second, and the state again after a daemon was away', async () => {
    const { clock, reporter, told, fail } = setUp()
    const stop = new AbortController()
    reporter.setState(stateOf('Ready'))
    const reporting = reporter.reportUsage(() => [7], stop.signal)
    await clock.advance(2_500)
    expect(told).toEqual(['Ready', 'usage 7', 'usage 7', 'usage 7'])
    fail(new BusError('closed', 'no daemon'))
    await clock.advance(3_000)
    fail(undefined)
    await clock.advance(2_000)
    expect(told.slice(4)).toEqual(['usage 7', 'Ready', 'usage 7'])
    stop.abort()
    await reporting
  })

  it('gives the activity up when the daemon refuses, or stays away for too long', async () => {
    const refused = setUp()
    refused.fail(new ReplyError({ notFound: 'activity a' }))
    refused.reporter.setState(stateOf('Ready'))
    await refused.clock.advance(10)
    expect(refused.lost[0]).toContain('refuses')
    const gone = setUp()
    const stop = new AbortController()
    gone.fail(new BusError('closed', 'no daemon'))
    const reporting = gone.reporter.reportUsage(() => [], stop.signal)
    await gone.clock.advance(ORPHAN_MS - 1_000)
    expect(gone.lost).toEqual([])
    await gone.clock.advance(5_000)
    expect(gone.lost[0]).toContain('has not answered for')
    stop.abort()
    await reporting
  })
})
