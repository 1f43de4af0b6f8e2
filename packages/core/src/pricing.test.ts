import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { estimateCost, linearCost, PricingError, pricingFromProperties, pricingToProperties } from './pricing.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../spec/vectors/pricing.json', import.meta.url), 'utf8')) as {
  cost: { coefficients: number[]; usage: number[]; wei: string }[]
}

const pricingOf = (coefficients: number[]) => ({
  counters: coefficients.slice(1).map((_, at) => `counter.${at}`),
  prices: coefficients.slice(0, -1),
  fixed: coefficients.at(-1)!,
})

describe('linearCost', () => {
  test.each(vectors.cost)('$coefficients at $usage costs $wei wei', ({ coefficients, usage, wei }) => {
    expect(linearCost(pricingOf(coefficients), usage)).toBe(BigInt(wei))
  })

  test('usage of another length, or not finite, is refused', () => {
    expect(() => linearCost(pricingOf([1, 0]), [1, 2])).toThrow(PricingError)
    expect(() => linearCost(pricingOf([1, 0]), [Number.NaN])).toThrow(PricingError)
  })

  test('estimateCost takes usage by counter and counts the rest as nothing', () => {
    expect(estimateCost(pricingOf([0.5, 2, 0.25]), { 'counter.1': 3 })).toBe(6_250_000_000_000_000_000n)
  })
})

describe('pricing in properties', () => {
  const properties = {
    'golem.com.pricing.model': 'linear',
    'golem.com.pricing.model.linear.coeffs': [0.1, 0.2, 0.3],
    'golem.com.usage.vector': ['golem.usage.cpu_sec', 'golem.usage.duration_sec'],
  }

  test('is read and written back', () => {
    const pricing = pricingFromProperties(properties)
    expect(pricing).toEqual({
      counters: ['golem.usage.cpu_sec', 'golem.usage.duration_sec'],
      prices: [0.1, 0.2],
      fixed: 0.3,
    })
    expect(pricingToProperties(pricing)).toEqual(properties)
  })

  test.each([
    ['unknown-model', { 'golem.com.pricing.model': 'quadratic' }],
    ['bad-counters', { 'golem.com.usage.vector': [1] }],
    ['bad-counters', { 'golem.com.usage.vector': Array.from({ length: 65 }, () => 'c') }],
    ['bad-coefficients', { 'golem.com.pricing.model.linear.coeffs': [0.1, 0.2] }],
    ['bad-coefficients', { 'golem.com.pricing.model.linear.coeffs': ['0.1', 0.2, 0] }],
  ])('%s: %j', (code, change) => {
    expect(() => pricingFromProperties({ ...properties, ...change })).toThrow(expect.objectContaining({ code }))
  })
})
