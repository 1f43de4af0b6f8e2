import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { formatAmount, parseAmount } from './amount.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../spec/vectors/amounts.json', import.meta.url), 'utf8')) as {
  amounts: { text: string; wei: string | null; canonical?: string }[]
}

describe('amounts', () => {
  test.each(vectors.amounts)('$text is $wei wei', ({ text, wei, canonical }) => {
    const amount = parseAmount(text)
    expect(amount).toBe(wei === null ? undefined : BigInt(wei))
    if (amount !== undefined) expect(formatAmount(amount)).toBe(canonical)
  })
})
