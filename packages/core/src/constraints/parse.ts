import { CONSTRAINTS_LENGTH_MAX } from '../documents/index.ts'
import { ConstraintsError } from './errors.ts'
import type { ComparisonOperator, ConstraintExpression, PropertyRef, TypeSuffix } from './expression.ts'

/** Most levels of brackets in constraints. */
export const CONSTRAINTS_DEPTH_MAX = 64

/** Where the parser stands. */
type Cursor = { readonly text: string; at: number }

/**
 * Parses the constraint language. Golem wire:
 *
 *     filter  := "()" | "(" content ")"
 *     content := "&" filter* | "|" filter* | "!" filter | attr "=*" | attr op value
 *     op      := "=" | "<" | "<=" | ">" | ">="
 *
 * Presence is tried first and never given up: `(a=*b)` is an error. A value is everything up to the next `)`. Text after
 * the outer filter is ignored. Throws `ConstraintsError`, and nothing else.
 */
export function parseConstraints(text: string): ConstraintExpression {
  if (text.length > CONSTRAINTS_LENGTH_MAX) {
    throw new ConstraintsError(
      'too-long',
      `constraints have ${text.length} characters, at most ${CONSTRAINTS_LENGTH_MAX} are taken`,
      { length: text.length, max: CONSTRAINTS_LENGTH_MAX },
    )
  }
  const cursor = { text, at: 0 }
  skipSpace(cursor)
  return filter(cursor, 1)
}

function filter(cursor: Cursor, depth: number): ConstraintExpression {
  if (depth > CONSTRAINTS_DEPTH_MAX) {
    throw new ConstraintsError('too-deep', `constraints are nested deeper than ${CONSTRAINTS_DEPTH_MAX} levels`, {
      position: cursor.at,
      max: CONSTRAINTS_DEPTH_MAX,
    })
  }
  take(cursor, '(')
  skipSpace(cursor)
  const expression = content(cursor, depth)
  skipSpace(cursor)
  take(cursor, ')')
  return expression
}

function content(cursor: Cursor, depth: number): ConstraintExpression {
  switch (cursor.text[cursor.at]) {
    case ')':
      return { kind: 'always' }
    case '&':
      return { kind: 'and', parts: filters(cursor, depth) }
    case '|':
      return { kind: 'or', parts: filters(cursor, depth) }
    case '!':
      cursor.at++
      skipSpace(cursor)
      return { kind: 'not', part: filter(cursor, depth + 1) }
    default:
      return condition(cursor)
  }
}

function filters(cursor: Cursor, depth: number): ConstraintExpression[] {
  const parts: ConstraintExpression[] = []
  cursor.at++
  for (skipSpace(cursor); cursor.text[cursor.at] === '('; skipSpace(cursor)) parts.push(filter(cursor, depth + 1))
  return parts
}

function condition(cursor: Cursor): ConstraintExpression {
  const ref = propertyRef(cursor)
  if (cursor.text.startsWith('=*', cursor.at)) {
    cursor.at += 2
    return { kind: 'presence', ref }
  }
  const operator = comparison(cursor)
  const end = cursor.text.indexOf(')', cursor.at)
  if (end < 0) throw unexpected({ text: cursor.text, at: cursor.text.length }, 'a closing bracket')
  const value = cursor.text.slice(cursor.at, end)
  cursor.at = end
  return { kind: 'compare', ref, operator, value }
}

const ENDS_ATTRIBUTE = new Set(['=', '<', '>', '~', '(', ')'])

function propertyRef(cursor: Cursor): PropertyRef {
  const start = cursor.at
  while (cursor.at < cursor.text.length && !ENDS_ATTRIBUTE.has(cursor.text[cursor.at] ?? '')) cursor.at++
  const attribute = cursor.text.slice(start, cursor.at).trim()
  if (attribute === '') throw unexpected(cursor, 'the name of a property')
  return parsePropertyRef(attribute)
}

/** Splits `name[aspect]$type` into its parts. A `$` or `[` that opens no known part belongs to the name. */
export function parsePropertyRef(attribute: string): PropertyRef {
  const suffix = attribute.at(-2) === '$' ? attribute.at(-1) : undefined
  const type = suffix === 'd' || suffix === 'v' || suffix === 't' ? (suffix satisfies TypeSuffix) : undefined
  const rest = type && attribute.length > 2 ? attribute.slice(0, -2) : attribute
  const opening = rest.endsWith(']') ? rest.indexOf('[') : -1
  const name = opening > 0 ? rest.slice(0, opening) : rest
  const aspect = opening > 0 ? rest.slice(opening + 1, -1) : undefined
  const typed = rest !== attribute && type !== undefined
  return { name, ...(aspect === undefined ? {} : { aspect }), ...(typed ? { type } : {}) }
}

function comparison(cursor: Cursor): ComparisonOperator {
  const sign = cursor.text[cursor.at]
  if (sign !== '=' && sign !== '<' && sign !== '>') throw unexpected(cursor, 'one of = < <= > >=')
  cursor.at++
  if (sign === '=' || cursor.text[cursor.at] !== '=') return sign
  cursor.at++
  return `${sign}=`
}

function take(cursor: Cursor, wanted: string): void {
  if (cursor.text[cursor.at] !== wanted) throw unexpected(cursor, `"${wanted}"`)
  cursor.at++
}

function skipSpace(cursor: Cursor): void {
  while (isSpace(cursor.text.charCodeAt(cursor.at))) cursor.at++
}

const isSpace = (unit: number): boolean => unit === 0x20 || (unit >= 0x09 && unit <= 0x0d)

function unexpected(cursor: Cursor, wanted: string): ConstraintsError {
  const found =
    cursor.at < cursor.text.length ? JSON.stringify(cursor.text.slice(cursor.at, cursor.at + 20)) : 'the end'
  return new ConstraintsError('syntax', `constraints need ${wanted} at ${cursor.at}, found ${found}`, {
    position: cursor.at,
    wanted,
  })
}
