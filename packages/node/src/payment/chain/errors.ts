import { CodedError } from '@emet/core'

export type ChainErrorCode =
  /** No endpoint gave an answer in time. */
  | 'unreachable'
  /** The endpoints serve another chain than configured. */
  | 'wrong-chain'
  /** The call would be reverted. */
  | 'reverted'
  /** The endpoint answered with an error that has no meaning of its own here. */
  | 'refused'

/** A chain could not be asked, or said no. */
export class ChainError extends CodedError<ChainErrorCode> {}
