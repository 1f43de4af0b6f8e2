import { CodedError } from '../errors.ts'

/** `too-deep`, `too-many`, `name-too-long`: one of the limits of `limits.ts`. `not-an-object`: not a JSON object. `not-json`: a value JSON has no form for. */
export type PropertiesErrorCode = 'too-deep' | 'too-many' | 'name-too-long' | 'not-an-object' | 'not-json'

/** A set of properties that cannot be taken. `facts` name the limit and the property. */
export class PropertiesError extends CodedError<PropertiesErrorCode> {}
