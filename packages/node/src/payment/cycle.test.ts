import { describe, expect, it } from 'vitest'
import { afterRun, changeCycle, defaultCycle, runAtMs } from './cycle.ts'
import { paymentOptionsSchema } from './options.ts'
import { idOf } from './testing/index.ts'

const options = paymentOptionsSchema.parse({})
const owner = idOf(1)
const NOW = Date.UTC(2026, 0, 1)
const MINUTE = 60_000
const cycle = defaultCycle(options, { owner, platform: 'erc20-hoodi-tglm' }, NOW)
const change = { intervalMs: undefined, cron: undefined, extraPayTimeMs: undefined, nextMs: undefined }

describe('payment cycles', () => {
  it('are short for test tokens and long for real ones', () => {
    expect(cycle).toMatchObject({ intervalMs: 5 * MINUTE, extraPayTimeMs: 4 * MINUTE, nextMs: NOW + 5 * MINUTE })
    const real = defaultCycle(options, { owner, platform: 'erc20-polygon-glm' }, NOW)
    expect(real).toMatchObject({ intervalMs: 24 * 60 * MINUTE, extraPayTimeMs: 60 * MINUTE })
  })

  it('run with the interval, or earlier to meet a due date', () => {
    expect(runAtMs(cycle, undefined)).toBe(NOW + 5 * MINUTE)
    expect(runAtMs(cycle, NOW + 60 * MINUTE)).toBe(NOW + 5 * MINUTE)
    expect(runAtMs(cycle, NOW + 6 * MINUTE)).toBe(NOW + 2 * MINUTE)
    expect(afterRun(cycle, NOW + 7 * MINUTE)).toMatchObject({ lastMs: NOW + 7 * MINUTE, nextMs: NOW + 12 * MINUTE })
  })

  it('follow a cron expression in UTC', () => {
    const daily = changeCycle(cycle, { ...change, cron: '30 4 * * *' }, NOW)
    expect(daily).toMatchObject({ intervalMs: undefined, nextMs: NOW + 4.5 * 60 * MINUTE })
    expect(afterRun(daily, daily.nextMs).nextMs).toBe(daily.nextMs + 24 * 60 * MINUTE)
  })

  it.each([
    [{ ...change, cron: 'tomorrow' }, 'cron'],
    [{ ...change, cron: '0 0 30 2 *' }, 'never comes'],
    [{ ...change, intervalMs: 1 }, 'intervalSec'],
    [{ ...change, intervalMs: MINUTE, cron: '* * * * *' }, 'not both'],
  ])('refuse %j, saying why', (wrong, text) => {
    expect(() => changeCycle(cycle, wrong, NOW)).toThrow(text)
  })
})
