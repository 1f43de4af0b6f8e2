import { expect, test } from 'vitest'
import { findDiscrepancies, formatAccount } from './account.ts'

const account = (name: string, paid: bigint) => ({
  nodeId: name,
  name,
  tiles: 2,
  seconds: 1,
  usage: { 'golem.usage.cpu_sec': 0.5 },
  agreed: paid,
  paid,
  transaction: '0x12',
})

test('sums that agree with the chain are fine', () => {
  const before = { r: 100n, a: 0n, b: 5n }
  const after = { r: 90n, a: 3n, b: 12n }
  expect(findDiscrepancies([account('a', 3n), account('b', 7n)], 'r', before, after)).toEqual([])
})

test('whatever does not add up is named', () => {
  const before = { r: 100n, a: 0n }
  expect(findDiscrepancies([account('a', 3n)], 'r', before, { r: 97n, a: 2n })).toEqual([
    'a was paid 3, but its balance changed by 2',
  ])
  expect(findDiscrepancies([account('a', 3n)], 'r', before, { r: 96n, a: 3n })).toHaveLength(1)
})

test('the table ends with the sums', () => {
  const lines = formatAccount([account('a', 3n * 10n ** 18n), account('b', 10n ** 17n)]).split('\n')
  expect(lines.at(-1)).toMatch(/^total\s+4\s.*3\.1\s+3\.1$/)
})
