/**
 * Constraints: conditions on the other side's properties, in three-valued logic. A condition on a property that is missing
 * is neither true nor false, and what depends on it is undefined; offer and demand match only when all is true.
 *
 *     const demand = prepareMatchable({ properties: {...}, constraints: '(&(golem.runtime.name=vm)(golem.inf.mem.gib>=2))' })
 *     offers.filter((offer) => isMatch(offer, demand) === true)
 */
export {
  type CompiledConstraints,
  compileConstraints,
  FAILED_CONDITIONS_MAX,
  type FailedCondition,
} from './compile.ts'
export { LIST_LITERAL_ITEMS_MAX, type Truth } from './condition.ts'
export { ConstraintsError, type ConstraintsErrorCode } from './errors.ts'
export {
  type ComparisonOperator,
  type ConstraintExpression,
  joinConstraints,
  type PropertyRef,
  printConstraints,
  type TypeSuffix,
} from './expression.ts'
export { compareVersions, parseVersion, type Version } from './literals.ts'
export {
  isMatch,
  type Matchable,
  type MatchResult,
  type MismatchReason,
  matchOffer,
  prepareMatchable,
} from './match.ts'
export { CONSTRAINTS_DEPTH_MAX, parseConstraints } from './parse.ts'
