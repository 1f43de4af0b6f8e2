import { amountSchema, maybe } from '@emet/core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { explainIssue } from './explain.ts'

const schema = z.object({
  amount: amountSchema,
  list: z.array(z.union([z.string(), z.object({ at: z.int() })])).default([]),
  password: maybe(z.string()),
})

function explain(value: unknown): string {
  const result = schema.safeParse(value)
  if (result.success) throw new Error('it fits')
  return explainIssue(result.error, value, 'body')
}

describe('explainIssue', () => {
  it('names the field and shows the value once', () => {
    expect(explain({ amount: 'much' })).toBe('amount: not a decimal amount with at most 18 decimals: "much"')
    expect(explain({ amount: [1] })).toBe('amount: Invalid input: expected string, received array, given [1]')
    expect(explain({})).toMatch(/^amount: Invalid input: expected string, received undefined$/)
    expect(explain('text')).toBe('body: Invalid input: expected object, received string, given "text"')
  })

  it('looks into the branch of a union that got furthest', () => {
    expect(explain({ amount: '1', list: ['a', { at: 1.5 }] })).toMatch(/^list\.1\.at: .*, given 1\.5$/)
  })

  it('shortens long values', () => {
    expect(explain({ amount: { long: 'x'.repeat(1000) } }).length).toBeLessThan(250)
  })

  it('never shows secrets', () => {
    expect(explain({ amount: '1', password: ['hunter2'] })).toBe(
      'password: Invalid input: expected string, received array',
    )
  })
})
