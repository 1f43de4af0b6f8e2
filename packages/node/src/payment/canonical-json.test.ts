import { describe, expect, it } from 'vitest'
import { canonicalJson, type Json } from './canonical-json.ts'

describe('canonicalJson', () => {
  it.each<[string, Json, string]>([
    ['sorts keys by code units', { b: 1, a: 2, '€': 3, '\r': 4, '1': 5 }, '{"\\r":4,"1":5,"a":2,"b":1,"€":3}'],
    [
      'sorts surrogate pairs before other high characters',
      { '\ufb33': 1, '\u{1f600}': 2 },
      '{"\u{1f600}":2,"\ufb33":1}',
    ],
    [
      'writes numbers as ECMAScript does',
      [333333333.3333333, 1e30, 4.5, 0.002, 1e-27],
      '[333333333.3333333,1e+30,4.5,0.002,1e-27]',
    ],
    ['keeps literals', [null, true, false], '[null,true,false]'],
    ['escapes as little as possible', '\u20ac$\u000f\nA\'B"\\\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'],
    ['leaves out keys without a value', { a: undefined, b: { c: [] } }, '{"b":{"c":[]}}'],
  ])('%s', (_name, value, text) => {
    expect(canonicalJson(value)).toBe(text)
  })

  it('refuses what has no canonical form', () => {
    expect(() => canonicalJson(Number.NaN)).toThrow(TypeError)
    expect(() => canonicalJson('\ud800')).toThrow(TypeError)
  })
})
