import { compareDecimals, parseDecimal } from '../decimal.ts'
import { compareText, type MatchValue } from '../properties/index.ts'
import type { ComparisonOperator, PropertyRef, TypeSuffix } from './expression.ts'
import { compareVersions, matchesPieces, parseFloatText, parseTime, parseVersion } from './literals.ts'

/** True, false, or undefined: it cannot be told. */
export type Truth = boolean | undefined

/** Tests the value of the property a condition speaks of. */
export type ValueTest = (value: MatchValue) => Truth

/** Most items in a list written in a condition. */
export const LIST_LITERAL_ITEMS_MAX = 1024

/** Makes the test of `ref operator value`, with all that can be read from the condition's text read beforehand. */
export function compileComparison(ref: PropertyRef, operator: ComparisonOperator, value: string): ValueTest {
  return ref.type === undefined ? untypedTest(operator, value) : typedTest(ref.type, operator, value)
}

/** Whether an ordering of two values satisfies the operator. */
function holds(operator: ComparisonOperator, order: number): boolean {
  switch (operator) {
    case '=':
      return order === 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
  }
}

function untypedTest(operator: ComparisonOperator, text: string): ValueTest {
  const testText = operator === '=' ? equalTextTest(text) : (value: string) => holds(operator, compareText(value, text))
  const testNumber = numberTest(operator, parseFloatText(text))
  const testList = operator === '=' ? listTest(text) : () => false
  return (value) => {
    if (typeof value === 'string') return testText(value)
    if (typeof value === 'number') return testNumber(value)
    if (typeof value === 'boolean') return operator === '=' && text === (value ? 'true' : 'false')
    return testList(value)
  }
}

function equalTextTest(pattern: string): (value: string) => boolean {
  if (!pattern.includes('*')) return (value) => value === pattern
  const pieces = pattern.split(/\*+/)
  return (value) => matchesPieces(value, pieces)
}

function numberTest(operator: ComparisonOperator, limit: number | undefined): (value: number) => boolean {
  if (limit === undefined) return () => false
  return (value) => holds(operator, value - limit || 0)
}

/** `[x,y]`: as long, and each item present. Anything else: one of the items equals it. */
function listTest(text: string): (list: readonly MatchValue[]) => boolean {
  const items = listItems(text)
  if (items === undefined) {
    const testItem = itemTest(text)
    return (list) => list.some(testItem)
  }
  const tests = items.map(itemTest)
  return (list) => list.length === tests.length && tests.every((test) => list.some(test))
}

function listItems(text: string): string[] | undefined {
  if (!text.startsWith('[') || !text.endsWith(']')) return undefined
  const items = text.slice(1, -1).split(',', LIST_LITERAL_ITEMS_MAX + 1)
  return items.length > LIST_LITERAL_ITEMS_MAX ? undefined : items.map((item) => item.trim())
}

function itemTest(text: string): (item: MatchValue) => boolean {
  const testText = equalTextTest(text)
  const testNumber = numberTest('=', parseFloatText(text))
  return (item) => {
    if (typeof item === 'string') return testText(item)
    if (typeof item === 'number') return testNumber(item)
    return typeof item === 'boolean' && text === String(item)
  }
}

/** Reads the property's text as `type` before comparing. Text that is no such thing, and values that are not text, are undefined. */
function typedTest(type: TypeSuffix, operator: ComparisonOperator, text: string): ValueTest {
  switch (type) {
    case 'd':
      return convertedTest(operator, text, parseDecimal, compareDecimals)
    case 'v':
      return convertedTest(operator, text, parseVersion, compareVersions)
    case 't':
      return convertedTest(operator, text, parseTime, (a, b) => (a < b ? -1 : a > b ? 1 : 0))
  }
}

function convertedTest<T>(
  operator: ComparisonOperator,
  text: string,
  parse: (text: string) => T | undefined,
  compare: (a: T, b: T) => number,
): ValueTest {
  const limit = parse(text)
  return (value) => {
    const converted = typeof value === 'string' ? parse(value) : undefined
    if (converted === undefined) return undefined
    return limit !== undefined && holds(operator, compare(converted, limit))
  }
}
