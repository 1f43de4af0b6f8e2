import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextTickMs, paymentDueMs } from './billing.ts'

test('ticks fall on approval + k * interval, and missed ones are skipped', () => {
  expect(nextTickMs(1_000, 10, 1_000)).toBe(11_000)
  expect(nextTickMs(1_000, 10, 11_000)).toBe(21_000)
  expect(nextTickMs(1_000, 10, 95_500)).toBe(101_000)
  expect(nextTickMs(1_000, 10, 0)).toBe(11_000)
})

test('the next tick is never now, and never more than an interval away', () => {
  const positive = fc.integer({ min: 1, max: 1e6 })
  fc.assert(
    fc.property(positive, positive, positive, (approvedMs, intervalSec, passedMs) => {
      const nowMs = approvedMs + passedMs
      const tickMs = nextTickMs(approvedMs, intervalSec, nowMs)
      return (
        tickMs > nowMs && tickMs <= nowMs + intervalSec * 1000 && (tickMs - approvedMs) % (intervalSec * 1000) === 0
      )
    }),
  )
})

test('a note is payable when the payment timeout has passed since the last payable one, or at the end', () => {
  const base = { nowMs: 100_000, lastPayableMs: 50_000, isLast: false }
  expect(paymentDueMs({ ...base, paymentTimeoutSec: 60 })).toBeUndefined()
  expect(paymentDueMs({ ...base, paymentTimeoutSec: 50 })).toBe(150_000)
  expect(paymentDueMs({ ...base, paymentTimeoutSec: 60, isLast: true })).toBe(160_000)
  expect(paymentDueMs({ ...base, paymentTimeoutSec: undefined, isLast: true })).toBeUndefined()
})
