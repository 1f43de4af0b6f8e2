import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  expandProperties,
  flattenProperties,
  type JsonObject,
  type JsonValue,
  lookupProperty,
  matchValue,
  PROPERTIES_COUNT_MAX,
  PropertiesError,
  parsePropertiesText,
  prepareProperties,
  propertiesText,
} from './index.ts'

const path = new URL('../../../../spec/vectors/properties.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as {
  roundTrips: { nested: JsonObject; flat: JsonObject; text: string }[]
  flatten: { given: JsonObject; flat: JsonObject }[]
  expandInsideArrays: { flat: JsonObject; nested: JsonObject }
  visible: { value: JsonValue; seen: JsonValue }[]
}

describe('flat and nested', () => {
  test.each(vectors.roundTrips)('$text', ({ nested, flat, text }) => {
    expect(flattenProperties(nested)).toEqual(flat)
    expect(flattenProperties(flat)).toEqual(flat)
    expect(expandProperties(flat)).toEqual(nested)
    expect(propertiesText(flattenProperties(nested))).toBe(text)
    expect(parsePropertiesText(text)).toEqual(flat)
  })

  test.each(vectors.flatten)('$given', ({ given, flat }) => expect(flattenProperties(given)).toEqual(flat))

  test('names inside arrays are expanded', () => {
    expect(expandProperties(vectors.expandInsideArrays.flat)).toEqual(vectors.expandInsideArrays.nested)
  })

  test('the text does not depend on the order of writing', () => {
    const one = propertiesText(flattenProperties({ b: 1, a: [{ d: 1, c: 2 }] }))
    expect(propertiesText(flattenProperties({ a: [{ c: 2, d: 1 }], b: 1 }))).toBe(one)
    expect(one).toBe('{"a":[{"c":2,"d":1}],"b":1}')
  })

  test('a property is found as a leaf and under its tag', () => {
    const nested = { a: { b: { '@tag': 1, c: 2 } } }
    expect(lookupProperty(nested, 'a.b')).toBe(1)
    expect(lookupProperty(nested, 'a.b.c')).toBe(2)
    expect(lookupProperty(nested, 'a.x')).toBeUndefined()
    expect(lookupProperty(nested, 'constructor')).toBeUndefined()
  })

  test('a hostile name cannot reach a prototype', () => {
    const flat = parsePropertiesText('{"__proto__":{"polluted":1},"constructor":2}')
    expect(Object.keys(flat)).toEqual(['__proto__.polluted', 'constructor'])
    expect(Object.keys(expandProperties(flat))).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

describe('limits', () => {
  const nest = (levels: number, leaf: unknown = 1): unknown => (levels === 0 ? leaf : { a: nest(levels - 1, leaf) })
  const nestArray = (levels: number): unknown => (levels === 0 ? 1 : [nestArray(levels - 1)])
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, at]))

  test.each<[string, Record<string, unknown>]>([
    ['too-deep', { a: nest(40) }],
    ['too-deep', { a: nestArray(40) }],
    ['too-deep', { ['a.'.repeat(40)]: 1 }],
    ['too-many', many(PROPERTIES_COUNT_MAX + 1)],
    ['name-too-long', { ['x'.repeat(513)]: 1 }],
    ['not-json', { a: Number.NaN }],
    ['not-json', { a: 1n }],
  ])('%s', (code, given) => {
    expect(() => flattenProperties(given)).toThrow(expect.objectContaining({ name: 'PropertiesError', code }))
  })

  test('as much as the limits allow is taken', () => {
    expect(Object.keys(flattenProperties(many(PROPERTIES_COUNT_MAX)))).toHaveLength(PROPERTIES_COUNT_MAX)
    expect(flattenProperties({ a: undefined, b: 1 })).toEqual({ b: 1 })
  })

  test.each(['[]', 'null', '1', '{', ''])('%j is not an object', (text) => {
    expect(() => parsePropertiesText(text)).toThrow(PropertiesError)
  })
})

describe('values as conditions see them', () => {
  test.each(vectors.visible)('$value', ({ value, seen }) => expect(matchValue(value) ?? null).toEqual(seen))

  test('a name with = is invisible', () => {
    expect([...prepareProperties({ 'a=b': 1, a: 2 }).values]).toEqual([['a', 2]])
  })
})
