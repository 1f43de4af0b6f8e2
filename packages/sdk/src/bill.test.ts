import { USAGE_CPU, USAGE_DURATION } from '@emet/core'
import { describe, expect, test } from 'vitest'
import { costLimit, judgeDebitNote, judgeInvoice } from './bill.ts'
import { glm } from './money.ts'

const pricing = { counters: [USAGE_DURATION, USAGE_CPU, 'golem.usage.gib'], prices: [0.001, 0.002, 0.5], fixed: 0.1 }
const use = { seconds: 100, threads: 2, reported: { 'golem.usage.gib': 1 } }

describe('debit notes', () => {
  const usage = [100, 150, 1]
  const cost = glm('1') // 0.1 + 0.1 + 0.3 + 0.5

  test('the price of possible usage is right, to the last wei', () => {
    expect(judgeDebitNote(pricing, cost, usage, use)).toBeUndefined()
    expect(judgeDebitNote(pricing, cost - 1n, usage, use)).toBeUndefined()
    expect(judgeDebitNote(pricing, cost + 1n, usage, use)).toContain('its usage costs 1')
  })

  test('more time or more CPU than there was is wrong, small differences of clocks are not', () => {
    expect(judgeDebitNote(pricing, 0n, [106, 0, 0], use)).toBeUndefined()
    expect(judgeDebitNote(pricing, 0n, [108, 0, 0], use)).toContain(USAGE_DURATION)
    expect(judgeDebitNote(pricing, 0n, [100, 214, 0], use)).toBeUndefined()
    expect(judgeDebitNote(pricing, 0n, [100, 215, 0], use)).toContain(USAGE_CPU)
  })

  test.each([undefined, null, 'many', [1, 2], [1, 2, -3], [1, 2, Number.NaN], [1, 2, '3']])(
    'usage %j is refused',
    (bad) => {
      expect(judgeDebitNote(pricing, 0n, bad, use)).toBe('its usage is not 3 numbers')
    },
  )
})

describe('invoices', () => {
  const most = costLimit(pricing, use)

  test('up to what is possible', () => {
    expect(judgeInvoice(pricing, most, 0n, use)).toBeUndefined()
    expect(judgeInvoice(pricing, most + 1n, 0n, use)).toMatch(/at most .* is possible/)
  })

  test('or up to what was accepted already', () => {
    expect(judgeInvoice(pricing, most + 1n, most + 1n, use)).toBeUndefined()
  })
})
