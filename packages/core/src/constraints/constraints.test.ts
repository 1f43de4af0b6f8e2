import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { flattenProperties, type JsonObject, prepareProperties } from '../properties/index.ts'
import {
  ConstraintsError,
  compileConstraints,
  isMatch,
  joinConstraints,
  matchOffer,
  parseConstraints,
  prepareMatchable,
  printConstraints,
} from './index.ts'

const path = new URL('../../../../spec/vectors/constraints.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as {
  properties: JsonObject
  evaluate: [string, boolean | null][]
  print: [string, string][]
  errors: string[]
}
const properties = prepareProperties(flattenProperties(vectors.properties))

describe('constraints', () => {
  test.each(vectors.evaluate)('%j is %j', (text, expected) => {
    expect(compileConstraints(text).evaluate(properties) ?? null).toBe(expected)
  })

  test.each(vectors.evaluate)('%j means the same after printing, and is explained unless true', (text, expected) => {
    const compiled = compileConstraints(text)
    const again = compileConstraints(printConstraints(compiled.expression))
    expect(again.expression).toEqual(compiled.expression)
    expect(again.evaluate(properties) ?? null).toBe(expected)
    expect(compiled.explain(properties).length > 0).toBe(expected !== true)
  })

  test.each(vectors.print)('%j prints as %j', (text, printed) => {
    expect(printConstraints(parseConstraints(text))).toBe(printed)
  })

  test.each(vectors.errors)('%j is refused', (text) => {
    expect(() => parseConstraints(text)).toThrow(expect.objectContaining({ name: 'ConstraintsError', code: 'syntax' }))
  })

  test('too long and too deep are refused, and as deep as allowed is taken', () => {
    expect(() => parseConstraints(`(a=${'x'.repeat(70_000)})`)).toThrow(expect.objectContaining({ code: 'too-long' }))
    const nested = (levels: number) => `${'(&'.repeat(levels - 1)}(a=1)${')'.repeat(levels - 1)}`
    expect(() => parseConstraints(nested(65))).toThrow(expect.objectContaining({ code: 'too-deep' }))
    expect(() => parseConstraints('(!'.repeat(30_000))).toThrow(ConstraintsError)
    expect(compileConstraints(nested(64)).evaluate(prepareProperties({ a: 1 }))).toBe(true)
  })

  test('wildcards and literals made to be slow are not', () => {
    const hostile = prepareProperties({ a: `${'a'.repeat(60_000)}b`, v: `1.0.0-${'1.'.repeat(40_000)}`, n: 1 })
    const startMs = performance.now()
    for (const text of [
      `(a=${'a*'.repeat(32_000)}c)`,
      `(a=a${'*a'.repeat(32_000)}c*)`,
      `(v$v>=1.0.0-${'9'.repeat(60_000)})`,
      `(n=${'1'.repeat(65_000)}x)`,
      `(n=[${'1,'.repeat(30_000)}])`,
    ]) {
      expect(compileConstraints(text).evaluate(hostile)).not.toBe(true)
    }
    // Each would take minutes or more with a backtracking matcher.
    expect(performance.now() - startMs).toBeLessThan(5_000)
  })

  test('joined constraints are written as the original writes them', () => {
    expect(joinConstraints('|', ['(a=*)'])).toBe('(a=*)')
    expect(joinConstraints('|', ['(a=*)', '(b=*)'])).toBe('(|\n  (a=*)\n  (b=*)\n)')
    expect(joinConstraints('&', [])).toBe('(&\n)')
    expect(compileConstraints(joinConstraints('&', [])).evaluate(properties)).toBe(true)
  })
})

describe('matching', () => {
  const offer = prepareMatchable({
    properties: { golem: { runtime: { name: 'vm', version: 'new' }, inf: { mem: { gib: 2 } } } },
    constraints: '(&(golem.srv.comp.expiration>1000)(golem.node.debug.subnet=public))',
  })
  const demandOf = (properties: JsonObject, constraints: string) => prepareMatchable({ properties, constraints })
  const properties = { 'golem.srv.comp.expiration': 2000, 'golem.node.debug.subnet': 'public' }

  test('both sides must be content', () => {
    const demand = demandOf(properties, '(golem.runtime.name=vm)')
    expect(isMatch(offer, demand)).toBe(true)
    expect(matchOffer(offer, demand)).toEqual({ matches: true, reasons: [] })
    expect(isMatch(offer, demandOf({ ...properties, 'golem.node.debug.subnet': 'mine' }, '()'))).toBe(false)
    expect(isMatch(offer, demandOf({}, '()'))).toBeUndefined()
    expect(isMatch(offer, demandOf({}, '(golem.runtime.name=x)'))).toBe(false)
  })

  test('a mismatch names each condition in the way', () => {
    const constraints =
      '(&(golem.runtime.name=vm)(golem.inf.mem.gib>=4)(golem.runtime.version$v>1.0.0)(|(gpu=*)(cores>2))(!(golem.runtime.name=vm))(|))'
    expect(matchOffer(offer, demandOf({ 'golem.srv.comp.expiration': 500 }, constraints))).toEqual({
      matches: false,
      reasons: [
        {
          side: 'demand',
          condition: '(golem.inf.mem.gib>=4)',
          property: 'golem.inf.mem.gib',
          problem: 'unmet',
          actual: 2,
        },
        {
          side: 'demand',
          condition: '(golem.runtime.version$v>1.0.0)',
          property: 'golem.runtime.version',
          problem: 'unreadable',
          actual: 'new',
        },
        { side: 'demand', condition: '(gpu=*)', property: 'gpu', problem: 'missing' },
        { side: 'demand', condition: '(cores>2)', property: 'cores', problem: 'missing' },
        { side: 'demand', condition: '(!(golem.runtime.name=vm))', problem: 'unmet' },
        { side: 'demand', condition: '(|)', problem: 'unmet' },
        {
          side: 'offer',
          condition: '(golem.srv.comp.expiration>1000)',
          property: 'golem.srv.comp.expiration',
          problem: 'unmet',
          actual: 500,
        },
        {
          side: 'offer',
          condition: '(golem.node.debug.subnet=public)',
          property: 'golem.node.debug.subnet',
          problem: 'missing',
        },
      ],
    })
  })
})
