/** Says in one line why a value does not fit its schema: the field, the complaint, and the value. */
import type { z } from 'zod'

/** Longest part of a wrong value that is shown, in characters. */
const SHOWN_VALUE_LENGTH_MAX = 120

/** Fields whose values are never shown. */
const SECRET_FIELDS: readonly PropertyKey[] = ['password', 'privateKey', 'keystore']

type Issue = z.core.$ZodIssue

/** The most telling issue of a failed parse, as text. `root` names the whole value. */
export function explainIssue(error: z.ZodError, given: unknown, root: string): string {
  const issue = deepest(error.issues, [])
  if (!issue) return `${root} does not fit`
  const place = issue.path.length === 0 ? root : issue.path.join('.')
  if (issue.path.some((key) => SECRET_FIELDS.includes(key))) return `${place}: ${issue.message}`
  const value = valueAt(given, issue.path)
  const shown = value === undefined ? '' : `, given ${shorten(JSON.stringify(value) ?? String(value))}`
  return `${place}: ${issue.message}${issue.message.includes(shorten(JSON.stringify(value) ?? '')) ? '' : shown}`
}

/** Looks into unions, whose own message says nothing: the branch that got furthest tells most. */
function deepest(
  issues: readonly Issue[],
  base: readonly PropertyKey[],
): { path: PropertyKey[]; message: string } | undefined {
  const [first] = issues
  if (!first) return undefined
  const path = [...base, ...first.path]
  const own = { path, message: first.message }
  if (first.code !== 'invalid_union') return own
  const branches = first.errors.map((branch) => deepest(branch, path)).filter((found) => found !== undefined)
  return branches.sort((a, b) => b.path.length - a.path.length)[0] ?? own
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return at
}

const shorten = (text: string) =>
  text.length <= SHOWN_VALUE_LENGTH_MAX ? text : `${text.slice(0, SHOWN_VALUE_LENGTH_MAX)}...`
