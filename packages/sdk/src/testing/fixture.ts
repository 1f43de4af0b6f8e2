/** What tests of the SDK share: a session on a fake daemon, driven by a virtual clock. */
import { silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { createEventHub } from '../events.ts'
import type { GolemError, RentOptions, SdkEvent } from '../index.ts'
import { createSession } from '../session.ts'
import { createFakeDaemon, type FakeProvider } from './index.ts'

export const echo: NonNullable<FakeProvider['programs']> = {
  main: ({ args }) => ({ stdout: args.map((arg) => `${arg}\n`) }),
  slow: () => ({ stdout: ['begun\n'], ms: 60_000 }),
  fail: () => ({ exitCode: 3, stderr: 'it broke\n' }),
  twenty: () => ({ ms: 20_000 }),
}
export const spec = { payload: { bytes: new Uint8Array([1, 2, 3]) } }
export const budget = { max: '10' }
export const nothing = { demands: 0, agreements: 0, activities: 0, allocations: 0, files: 0 }

export function setUp(...providers: FakeProvider[]) {
  const clock = createVirtualClock()
  const daemon = createFakeDaemon(clock, providers)
  const hub = createEventHub(silentLogger)
  const random = createSeededRandom(1)
  const deps = { client: daemon.client, clock, random, log: silentLogger, hub }
  const session = createSession(deps, { nodeId: '0xme', subnet: 'public' })
  const events: SdkEvent[] = []
  session.on((event) => void events.push(event))
  /** Lets time go by until the promise settles, and tells how much. */
  const drive = async <T>(promise: PromiseLike<T>, limitMs = 600_000): Promise<{ value: T; ms: number }> => {
    let settled: { value: T } | { error: unknown } | undefined
    Promise.resolve(promise).then(
      (value) => (settled = { value }),
      (error) => (settled = { error }),
    )
    const beganMs = clock.nowMs()
    await clock.advance(0)
    while (!settled && clock.nowMs() - beganMs < limitMs) await clock.advance(10)
    if (!settled) throw new Error(`not settled after ${limitMs} ms`)
    if ('error' in settled) throw Object.assign(settled.error as Error, { afterMs: clock.nowMs() - beganMs })
    return { value: settled.value, ms: clock.nowMs() - beganMs }
  }
  const rent = async (options: Partial<RentOptions> = {}) =>
    (await drive(session.rent(spec, { budget, ...options }))).value
  return { clock, daemon, session, events, drive, rent }
}

export const caught = (promise: Promise<unknown>): Promise<GolemError & { afterMs: number }> =>
  promise.then(
    () => {
      throw new Error('it did not fail')
    },
    (error) => error,
  )
