import { CodedError } from '@emet/core'

export type DriverErrorCode =
  /** No such platform or network in this driver. */
  | 'unknown-platform'
  /** The request breaks a rule named in the message; nothing was changed. */
  | 'bad-request'
  /** The order id is taken by a different order. */
  | 'order-conflict'
  /** Claims on the transfer would exceed it. */
  | 'already-claimed'
  /** The network hands out nothing. */
  | 'no-faucet'
  /** The faucet did not deliver. */
  | 'faucet-failed'
  /** No RPC endpoint answered. */
  | 'rpc'
  /** The endpoint serves another chain than configured. */
  | 'wrong-chain'
  /** See `capabilities`. */
  | 'unsupported'
  | 'stopped'

/** A payment driver refused or failed. */
export class DriverError extends CodedError<DriverErrorCode> {}
