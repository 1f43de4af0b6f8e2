/** How a condition compares. */
export type ComparisonOperator = '=' | '<' | '<=' | '>' | '>='

/** Golem wire: `$d` decimal, `$v` semantic version, `$t` RFC 3339 time. Tells how to read a property that is text. */
export type TypeSuffix = 'd' | 'v' | 't'

/** The property a condition speaks of. Aspects (`name[aspect]`) can be written, but no property has any. */
export type PropertyRef = {
  readonly name: string
  readonly aspect?: string
  readonly type?: TypeSuffix
}

/** Constraints as a tree. `always` is `()`, which is true. */
export type ConstraintExpression =
  | { readonly kind: 'always' }
  | { readonly kind: 'and'; readonly parts: readonly ConstraintExpression[] }
  | { readonly kind: 'or'; readonly parts: readonly ConstraintExpression[] }
  | { readonly kind: 'not'; readonly part: ConstraintExpression }
  | { readonly kind: 'presence'; readonly ref: PropertyRef }
  | {
      readonly kind: 'compare'
      readonly ref: PropertyRef
      readonly operator: ComparisonOperator
      readonly value: string
    }

/** The text of an expression, without spaces. Parsing it gives the same expression. */
export function printConstraints(expression: ConstraintExpression): string {
  switch (expression.kind) {
    case 'always':
      return '()'
    case 'and':
      return `(&${expression.parts.map(printConstraints).join('')})`
    case 'or':
      return `(|${expression.parts.map(printConstraints).join('')})`
    case 'not':
      return `(!${printConstraints(expression.part)})`
    case 'presence':
      return `(${printRef(expression.ref)}=*)`
    case 'compare':
      return `(${printRef(expression.ref)}${expression.operator}${expression.value})`
  }
}

function printRef(ref: PropertyRef): string {
  return `${ref.name}${ref.aspect === undefined ? '' : `[${ref.aspect}]`}${ref.type ? `$${ref.type}` : ''}`
}

/**
 * Joins the texts of constraints: one stays as it is, several come one to a line inside `(&` or `(|`. Golem wire: the
 * daemon's decorations and the agents' demands are written like this.
 */
export function joinConstraints(operator: '&' | '|', constraints: readonly string[]): string {
  const [only, ...more] = constraints
  if (only !== undefined && more.length === 0) return only
  return `(${operator}${constraints.map((text) => `\n  ${text}`).join('')}\n)`
}
