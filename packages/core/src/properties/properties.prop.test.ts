import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  canonicalJson,
  compareText,
  expandProperties,
  flattenProperties,
  type JsonObject,
  PropertiesError,
  propertiesText,
} from './index.ts'

const segment = fc.oneof(
  fc.constantFrom('a', 'b', 'golem', '', '@tag', '__proto__', '0', '10'),
  fc.string({ maxLength: 5 }),
)
const tree: fc.Arbitrary<JsonObject> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, 1, -0.5, 'x', ''),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc.dictionary(segment, tie('value'), { maxKeys: 4 }),
})).object as fc.Arbitrary<JsonObject>

test('flattening twice is flattening once', () => {
  fc.assert(
    fc.property(tree, (given) => {
      expect(flattenProperties(flattenProperties(given))).toEqual(flattenProperties(given))
    }),
  )
})

test('flattening the expanded form of flat properties gives them back', () => {
  fc.assert(
    fc.property(tree, (given) => {
      const flat = flattenProperties(given)
      const again = flattenProperties(expandProperties(flat))
      expect(Object.keys(again)).toEqual(Object.keys(flat))
      for (const name of Object.keys(flat)) {
        if (!Array.isArray(flat[name])) expect(again[name]).toEqual(flat[name])
      }
    }),
  )
})

test('the canonical text is JSON of the same value, and the same for the same value', () => {
  fc.assert(
    fc.property(tree, (given) => {
      const flat = flattenProperties(given)
      expect(JSON.parse(propertiesText(flat))).toEqual(JSON.parse(JSON.stringify(flat)))
      const reversed = Object.fromEntries(Object.entries(flat).reverse())
      expect(canonicalJson(reversed)).toBe(propertiesText(flat))
    }),
  )
})

// Around the surrogates and beyond U+FFFF, where UTF-16 and UTF-8 order differently.
const text = fc
  .array(fc.constantFrom('a', 'z', '\u00e9', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}'), {
    maxLength: 4,
  })
  .map((parts) => parts.join(''))

test('texts are ordered as their UTF-8 bytes are', () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareText(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))))
    }),
  )
})

test('anything JSON gives is flattened or refused with PropertiesError', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 60 }), (value) => {
      try {
        flattenProperties({ value })
      } catch (error) {
        expect(error).toBeInstanceOf(PropertiesError)
      }
    }),
  )
})
