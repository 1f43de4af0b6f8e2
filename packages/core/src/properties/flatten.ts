import { PropertiesError } from './errors.ts'
import { canonicalJson, compareText, isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import { PROPERTIES_COUNT_MAX, PROPERTIES_DEPTH_MAX, PROPERTY_NAME_LENGTH_MAX } from './limits.ts'

/** Properties in flat form: dotted names, and values that are scalars, arrays or empty objects. */
export type FlatProperties = JsonObject

/** Properties in nested form: a tree whose inner names are the segments of the dotted names. */
export type NestedProperties = JsonObject

/** Golem wire: where a name is both a leaf and a prefix of others, the leaf is this member of the nested object. */
export const PROPERTY_TAG = '@tag'

/**
 * Nested (or mixed, or already flat) properties in flat form, names sorted. Arrays are leaves, an empty object stays a
 * leaf `{}`, and `@tag` members become the value of the name they stand under. Where two ways of writing give the same
 * name, the last in sorted order wins, so that equal objects flatten equally.
 *
 * Members that are `undefined` are left out. Throws `PropertiesError` when a limit is exceeded or a value is not JSON.
 */
export function flattenProperties(properties: Readonly<Record<string, unknown>>): FlatProperties {
  const flat = new Map<string, JsonValue>()
  collect(properties, [], 0, flat)
  return Object.fromEntries([...flat].sort(([a], [b]) => compareText(a, b)))
}

type Unchecked = Readonly<Record<string, unknown>>

function collect(object: Unchecked, path: readonly string[], depth: number, into: Map<string, JsonValue>): void {
  if (depth > PROPERTIES_DEPTH_MAX) throw tooDeep(path.join('.'))
  for (const [key, value] of Object.entries(object).sort(([a], [b]) => compareText(a, b))) {
    if (value === undefined) continue
    const name = [...path, ...segments(key)]
    if (isPlainObject(value) && Object.keys(value).length > 0) collect(value, name, depth + 1, into)
    else put(into, name, value)
  }
}

const isPlainObject = (value: unknown): value is Unchecked =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const segments = (key: string): readonly string[] => key.split('.').filter((segment) => segment !== PROPERTY_TAG)

function put(into: Map<string, JsonValue>, path: readonly string[], value: unknown): void {
  // A tag at the very top has no name to be the value of: it stays a property of its own.
  const name = path.length === 0 ? PROPERTY_TAG : path.join('.')
  checkName(name, path.length)
  assertJson(value, name)
  into.set(name, value)
  if (into.size > PROPERTIES_COUNT_MAX) {
    throw new PropertiesError('too-many', `more than ${PROPERTIES_COUNT_MAX} properties`, { max: PROPERTIES_COUNT_MAX })
  }
}

function checkName(name: string, depth: number): void {
  if (name.length > PROPERTY_NAME_LENGTH_MAX) {
    const start = name.slice(0, 64)
    throw new PropertiesError(
      'name-too-long',
      `the name of property "${start}..." has ${name.length} characters, at most ${PROPERTY_NAME_LENGTH_MAX} are taken`,
      { name: start, length: name.length, max: PROPERTY_NAME_LENGTH_MAX },
    )
  }
  if (depth > PROPERTIES_DEPTH_MAX) throw tooDeep(name)
}

function assertJson(value: unknown, name: string, depth = 0): asserts value is JsonValue {
  if (depth > PROPERTIES_DEPTH_MAX) throw tooDeep(name)
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) assertJson(item, name, depth + 1)
  } else if (!isJsonScalar(value)) {
    throw new PropertiesError('not-json', `property "${name}" is not a JSON value: ${String(value)}`, { name })
  }
}

function isJsonScalar(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  return value === null || typeof value === 'string' || typeof value === 'boolean'
}

function tooDeep(name: string): PropertiesError {
  const start = name.slice(0, 64)
  return new PropertiesError('too-deep', `property "${start}" is nested deeper than ${PROPERTIES_DEPTH_MAX} levels`, {
    name: start,
    max: PROPERTIES_DEPTH_MAX,
  })
}

type Tree = Map<string, Tree | JsonValue>

/**
 * Flat properties in nested form. A value whose name is also a prefix of others goes under `@tag`. Names inside arrays
 * are expanded too. Agreements are handed to runtimes in this form.
 */
export function expandProperties(flat: FlatProperties): NestedProperties {
  const root: Tree = new Map()
  for (const [name, value] of Object.entries(flat)) place(root, name.split('.'), expandValue(value))
  return toObject(root)
}

function place(root: Tree, path: readonly string[], value: JsonValue): void {
  let node = root
  for (const segment of path.slice(0, -1)) {
    const next = node.get(segment)
    const branch: Tree = next instanceof Map ? next : new Map()
    if (next !== undefined && !(next instanceof Map)) branch.set(PROPERTY_TAG, next)
    node.set(segment, branch)
    node = branch
  }
  const last = path.at(-1) ?? ''
  const there = node.get(last)
  if (there instanceof Map) there.set(PROPERTY_TAG, value)
  else node.set(last, value)
}

function expandValue(value: JsonValue): JsonValue {
  if (isJsonArray(value)) return value.map(expandValue)
  if (isJsonObject(value) && Object.keys(value).length > 0) return expandProperties(value)
  return value
}

function toObject(tree: Tree): JsonObject {
  return Object.fromEntries([...tree].map(([key, node]) => [key, node instanceof Map ? toObject(node) : node]))
}

/** The value of a dotted name in nested properties, whether it stands there as a leaf or under `@tag`. */
export function lookupProperty(nested: NestedProperties, name: string): JsonValue | undefined {
  let node: JsonValue | undefined = nested
  for (const segment of name.split('.')) {
    if (!isJsonObject(node) || !Object.hasOwn(node, segment)) return undefined
    node = node[segment]
  }
  return isJsonObject(node) && Object.hasOwn(node, PROPERTY_TAG) ? node[PROPERTY_TAG] : node
}

/**
 * The text of flat properties that ids are made over and that travels between nodes: compact JSON, names sorted by
 * their bytes. Of properties received from others keep and hash the text as it came; never make it anew.
 */
export function propertiesText(flat: FlatProperties): string {
  return canonicalJson(flat)
}

/** Parses a JSON text that must hold an object, and flattens it. Throws `PropertiesError`. */
export function parsePropertiesText(text: string): FlatProperties {
  let value: JsonValue
  try {
    value = JSON.parse(text) as JsonValue
  } catch (cause) {
    throw new PropertiesError('not-an-object', 'properties are not JSON', {}, { cause })
  }
  if (!isJsonObject(value)) throw new PropertiesError('not-an-object', 'properties are not a JSON object')
  return flattenProperties(value)
}
