import fc from 'fast-check'
import { expect, test } from 'vitest'
import { flattenProperties, prepareProperties } from '../properties/index.ts'
import {
  type ConstraintExpression,
  ConstraintsError,
  compileConstraints,
  parseConstraints,
  printConstraints,
  type Truth,
} from './index.ts'

const name = fc.constantFrom('a', 'b', 'c.d', 'e')
const value = fc.constantFrom('1', '2', 'x', 'x*', 'true', '[x,1]', '1.0.0', '', ' y')
const expression: fc.Arbitrary<ConstraintExpression> = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({
      kind: fc.constant('compare'),
      ref: fc.oneof(
        fc.record({ name }),
        fc.record({ name, type: fc.constantFrom('d', 'v', 't') }),
        fc.record({ name, aspect: fc.constant('unit') }),
      ),
      operator: fc.constantFrom('=', '<', '<=', '>', '>='),
      value,
    }),
    fc.record({ kind: fc.constant('presence'), ref: fc.record({ name }) }),
    fc.constant({ kind: 'always' }),
    fc.record({ kind: fc.constantFrom('and', 'or'), parts: fc.array(tie('node'), { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('not'), part: tie('node') }),
  ),
})).node as fc.Arbitrary<ConstraintExpression>

const properties = fc
  .dictionary(name, fc.constantFrom<unknown>(1, 2, 'x', 'xy', true, ['x', 1], '1.0.0', null, ''), { maxKeys: 4 })
  .map((given) => prepareProperties(flattenProperties(given)))

const truthOf = (text: string, given: ReturnType<typeof prepareProperties>): Truth =>
  compileConstraints(text).evaluate(given)

test('printing and parsing give the same expression', () => {
  fc.assert(
    fc.property(expression, (given) => {
      expect(parseConstraints(printConstraints(given))).toEqual(given)
    }),
  )
})

test('whatever the text, parsing gives an expression or a ConstraintsError', () => {
  const soup = fc.array(
    fc.constantFrom('(', ')', '&', '|', '!', '=', '*', '<', '>', '~', 'a', '$v', '[', ']', ' ', '1'),
    {
      maxLength: 60,
    },
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        soup.map((parts) => `(${parts.join('')}`),
      ),
      (text) => {
        try {
          const parsed = parseConstraints(text)
          expect(parseConstraints(printConstraints(parsed))).toEqual(parsed)
        } catch (error) {
          expect(error).toBeInstanceOf(ConstraintsError)
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('three-valued laws: double negation, De Morgan, order and repetition do not matter', () => {
  fc.assert(
    fc.property(expression, expression, properties, (left, right, given) => {
      const [a, b] = [printConstraints(left), printConstraints(right)]
      const is = (one: string, other: string) => expect(truthOf(one, given)).toBe(truthOf(other, given))
      is(`(!(!${a}))`, a)
      is(`(!(&${a}${b}))`, `(|(!${a})(!${b}))`)
      is(`(!(|${a}${b}))`, `(&(!${a})(!${b}))`)
      is(`(&${a}${b})`, `(&${b}${a})`)
      is(`(|${a}${b})`, `(|${b}${a})`)
      is(`(&${a}${a}())`, a)
      is(`(|${a}${a}(|))`, a)
    }),
    { numRuns: 300 },
  )
})

test('there is a reason exactly when the constraints are not true', () => {
  fc.assert(
    fc.property(expression, properties, (given, against) => {
      const compiled = compileConstraints(printConstraints(given))
      expect(compiled.explain(against).length === 0).toBe(compiled.evaluate(against) === true)
    }),
    { numRuns: 300 },
  )
})
