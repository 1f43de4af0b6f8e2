import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bumpFees, chooseFees } from './fees.ts'

const wei = fc.bigInt({ min: 0n, max: 10n ** 13n })
const market = fc.record({ baseFeeWei: wei, priorityFeeWei: wei })
const limits = fc.record({ maxFeeCapWei: wei, priorityFeeMinWei: fc.bigInt({ min: 0n, max: 10n ** 10n }) })

test('a first offer is payable now, within the cap, and tips at least the minimum', () => {
  fc.assert(
    fc.property(market, limits, (now, limit) => {
      const fees = chooseFees(now, limit)
      if (!fees) {
        expect(now.baseFeeWei + limit.priorityFeeMinWei).toBeGreaterThan(limit.maxFeeCapWei)
        return
      }
      expect(fees.maxFeeWei).toBeLessThanOrEqual(limit.maxFeeCapWei)
      expect(fees.maxFeeWei).toBeGreaterThanOrEqual(now.baseFeeWei)
      expect(fees.priorityFeeWei).toBeLessThanOrEqual(fees.maxFeeWei)
      expect(fees.priorityFeeWei).toBeGreaterThanOrEqual(limit.priorityFeeMinWei)
    }),
  )
})

test('another attempt raises both fees by at least an eighth, or is not made', () => {
  fc.assert(
    fc.property(market, market, limits, (then, now, limit) => {
      const last = chooseFees(then, limit)
      const next = last && bumpFees(last, now, limit)
      if (!last || !next) return
      expect(next.maxFeeWei * 8n).toBeGreaterThan(last.maxFeeWei * 9n)
      expect(next.priorityFeeWei * 8n).toBeGreaterThan(last.priorityFeeWei * 9n)
      expect(next.maxFeeWei).toBeLessThanOrEqual(limit.maxFeeCapWei)
      expect(next.priorityFeeWei).toBeLessThanOrEqual(next.maxFeeWei)
    }),
  )
})

test('a long wait ends at the cap, after a bounded number of attempts', () => {
  const limit = { maxFeeCapWei: 500n * 10n ** 9n, priorityFeeMinWei: 1n }
  let fees = chooseFees({ baseFeeWei: 7n, priorityFeeWei: 0n }, limit)
  let attempts = 0
  for (; fees; attempts++) fees = bumpFees(fees, { baseFeeWei: 7n, priorityFeeWei: 0n }, limit)
  expect(attempts).toBeLessThan(250)
})
