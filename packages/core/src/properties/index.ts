/**
 * Properties: what an offer or a demand says of itself, as JSON values under dotted names. Flat and nested forms, the
 * canonical text that ids are made over, and the values as conditions see them.
 */
export { PropertiesError, type PropertiesErrorCode } from './errors.ts'
export {
  expandProperties,
  type FlatProperties,
  flattenProperties,
  lookupProperty,
  type NestedProperties,
  PROPERTY_TAG,
  parsePropertiesText,
  propertiesText,
} from './flatten.ts'
export { canonicalJson, compareText, isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts'
export { PROPERTIES_COUNT_MAX, PROPERTIES_DEPTH_MAX, PROPERTY_NAME_LENGTH_MAX } from './limits.ts'
export { type MatchValue, matchValue, type PreparedProperties, prepareProperties } from './prepared.ts'
