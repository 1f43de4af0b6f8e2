import type { PreparedProperties } from '../properties/index.ts'
import { compileComparison, type Truth } from './condition.ts'
import { type ConstraintExpression, printConstraints } from './expression.ts'
import { parseConstraints } from './parse.ts'

/** Constraints parsed once, to be evaluated against many sets of properties. */
export interface CompiledConstraints {
  /** As it was written. */
  readonly text: string
  readonly expression: ConstraintExpression
  /** Whether the properties satisfy them; undefined when that depends on a property that is missing or unreadable. */
  evaluate(properties: PreparedProperties): Truth
  /** Why they do not: the conditions that keep them from being true. Empty when they are true. */
  explain(properties: PreparedProperties): readonly FailedCondition[]
}

/** A condition that was not met. */
export type FailedCondition = {
  /** Its text. */
  readonly condition: string
  /** The property it speaks of; absent for a negation or an empty alternative. */
  readonly property?: string
  /** `missing`: there is no such property (as far as conditions can see). `unreadable`: not of the type asked for. */
  readonly problem: 'unmet' | 'missing' | 'unreadable'
}

/** Most reasons given for one mismatch. */
export const FAILED_CONDITIONS_MAX = 64

type Node = {
  readonly expression: ConstraintExpression
  readonly test: (properties: PreparedProperties) => Truth
  readonly parts: readonly Node[]
}

/** Parses and compiles constraints. Throws `ConstraintsError`. */
export function compileConstraints(text: string): CompiledConstraints {
  const root = compileNode(parseConstraints(text))
  return {
    text,
    expression: root.expression,
    evaluate: root.test,
    explain: (properties) => {
      const failed: FailedCondition[] = []
      collectFailed(root, properties, failed)
      return failed
    },
  }
}

function compileNode(expression: ConstraintExpression): Node {
  switch (expression.kind) {
    case 'always':
      return { expression, test: () => true, parts: [] }
    case 'and':
    case 'or': {
      const parts = expression.parts.map(compileNode)
      const tests = parts.map((part) => part.test)
      return { expression, test: expression.kind === 'and' ? all(tests) : any(tests), parts }
    }
    case 'not': {
      const part = compileNode(expression.part)
      return { expression, test: not(part.test), parts: [part] }
    }
    case 'presence': {
      const { aspect } = expression.ref
      const name = internName(expression.ref.name)
      return { expression, test: ({ values }) => aspect === undefined && values.has(name), parts: [] }
    }
    case 'compare':
      return { expression, test: comparisonTest(expression), parts: [] }
  }
}

function comparisonTest({ ref, operator, value }: ConstraintExpression & { kind: 'compare' }): Node['test'] {
  // No property has aspects, so a condition on one cannot be told.
  if (ref.aspect !== undefined) return () => undefined
  const test = compileComparison(ref, operator, value)
  const name = internName(ref.name)
  return ({ values }) => {
    const found = values.get(name)
    return found === undefined ? undefined : test(found)
  }
}

// Names of properties are unique objects to the engine, names cut out of a text are not: as a property's name first, the
// text is found in a map by comparing pointers.
const internName = (name: string): string => Object.keys({ [name]: true })[0] ?? name

function all(tests: readonly Node['test'][]): Node['test'] {
  return (properties) => {
    let result: Truth = true
    for (const test of tests) {
      const truth = test(properties)
      if (truth === false) return false
      if (truth === undefined) result = undefined
    }
    return result
  }
}

function any(tests: readonly Node['test'][]): Node['test'] {
  return (properties) => {
    let result: Truth = false
    for (const test of tests) {
      const truth = test(properties)
      if (truth === true) return true
      if (truth === undefined) result = undefined
    }
    return result
  }
}

function not(test: Node['test']): Node['test'] {
  return (properties) => {
    const truth = test(properties)
    return truth === undefined ? undefined : !truth
  }
}

function collectFailed(node: Node, properties: PreparedProperties, failed: FailedCondition[]): void {
  if (node.test(properties) === true || failed.length >= FAILED_CONDITIONS_MAX) return
  const { expression } = node
  const condition = () => printConstraints(expression)
  if (expression.kind === 'presence') {
    failed.push({ condition: condition(), property: expression.ref.name, problem: 'missing' })
  } else if (expression.kind === 'compare') {
    failed.push({ condition: condition(), property: expression.ref.name, problem: problemOf(node, properties) })
  } else if (expression.kind === 'not' || node.parts.length === 0) {
    failed.push({ condition: condition(), problem: 'unmet' })
  } else {
    for (const part of node.parts) collectFailed(part, properties, failed)
  }
}

function problemOf(node: Node, properties: PreparedProperties): FailedCondition['problem'] {
  if (node.test(properties) === false) return 'unmet'
  const { expression } = node
  const there = expression.kind === 'compare' && properties.values.has(expression.ref.name)
  return there && expression.ref.aspect === undefined ? 'unreadable' : 'missing'
}
