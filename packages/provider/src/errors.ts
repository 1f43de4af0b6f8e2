import { CodedError } from '@emet/core'

export type ProviderErrorCode =
  | 'bad-config'
  /** No preset is active, or none can be sold on this machine. */
  | 'nothing-to-sell'
  | 'no-payment-platform'
  | 'exe-unit-failed'
  | 'illegal-move'

export class ProviderError extends CodedError<ProviderErrorCode> {}
