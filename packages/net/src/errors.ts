import { CodedError } from '@emet/core'

export type NetErrorCode =
  /** Nobody knows where the node is, or no connection to it comes about. */
  | 'unreachable'
  /** The session ended while something was under way; whether the peer has acted on it is unknown. */
  | 'peer-gone'
  /** A packet, a topic or a frame breaks a size limit. */
  | 'too-large'
  /** A limit on calls, streams or connections is used up; later is better. */
  | 'busy'
  /** The peer does not keep to the protocol. The session is closed. */
  | 'protocol'
  /** The peer took the call, and its side of the transport failed to serve it. */
  | 'refused'
  /** A signature does not prove the identity that was claimed, or the far end is not who we dialled. */
  | 'not-proven'
  /** A target or an option cannot be read. */
  | 'bad-request'
  /** This node's own network is stopped, or not started yet. */
  | 'stopped'

/** Carrying bytes to or from another node failed. The message names the node and says what to do. */
export class NetError extends CodedError<NetErrorCode> {}

/** `error` itself when it is a `NetError`, else a `NetError` of the given code around it. */
export function asNetError(error: unknown, code: NetErrorCode, what: string): NetError {
  if (error instanceof NetError) return error
  const detail = error instanceof Error ? error.message : String(error)
  return new NetError(code, `${what}: ${detail}`, {}, { cause: error })
}
