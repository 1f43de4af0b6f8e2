import { CodedError } from '@emet/core'

export type IdentityErrorCode =
  | 'unknown-identity'
  | 'identity-exists'
  | 'locked'
  | 'wrong-password'
  | 'bad-keystore'
  | 'bad-private-key'
  | 'alias-taken'
  /** The default identity cannot be dropped or locked. */
  | 'is-default'
  /** The default identity has a password, and the daemon does not know it: it could not start. */
  | 'default-locked'
  | 'unknown-app-key'
  /** The name belongs to an app key of another identity. */
  | 'app-key-taken'
  | 'too-many'

export class IdentityError extends CodedError<IdentityErrorCode> {}
