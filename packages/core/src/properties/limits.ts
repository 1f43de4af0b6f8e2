/** Most properties in one offer or demand, counted flat. */
export const PROPERTIES_COUNT_MAX = 2048

/** Most levels of nesting: segments of a name, and arrays and objects within a value. */
export const PROPERTIES_DEPTH_MAX = 32

/** Longest flat name of a property, in UTF-16 units. */
export const PROPERTY_NAME_LENGTH_MAX = 512
