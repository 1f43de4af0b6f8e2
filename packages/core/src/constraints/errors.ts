import { CodedError } from '../errors.ts'

export type ConstraintsErrorCode = 'too-long' | 'too-deep' | 'syntax'

/** Constraints that cannot be taken. `facts.position` is where, in UTF-16 units from the start. */
export class ConstraintsError extends CodedError<ConstraintsErrorCode> {}
