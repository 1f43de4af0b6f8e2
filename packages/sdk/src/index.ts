/**
 * The requestor library: rent machines on the Golem market, run programs on them, move files, pay. It speaks to a daemon
 * over REST, and runs in Node and in browsers.
 *
 *     connect -> session -> quote (free) | rent -> rental -> run, put, get | map (many machines)
 *
 * Everything that costs money is an AsyncDisposable with a bounded end. Every wait takes an AbortSignal. What happens is
 * told as events (`session.on`), what fails as `GolemError`.
 */
export { type ConnectOptions, connect, DEFAULT_DAEMON_URL } from './connect.ts'
export type { DaemonClient, SdkDeps } from './daemon.ts'
export {
  amendGolemError,
  type Blame,
  GolemError,
  type GolemErrorCode,
  type GolemErrorDetails,
  isGolemError,
  type Phase,
} from './errors.ts'
export { createEventHub, type EventHub, type SdkEvent, type SdkEventBody, type SdkListener } from './events.ts'
export { formatGlm, glm } from './money.ts'
export { WASM_MAIN, WASM_RUNTIME } from './payload.ts'
export { createSession, type SessionOptions } from './session.ts'
export type {
  Budget,
  Limits,
  MapOptions,
  MapResult,
  MapRun,
  Money,
  Payload,
  Quote,
  QuotedOffer,
  Receipt,
  Rental,
  RentOptions,
  RentSpec,
  RunHandle,
  RunOptions,
  RunResult,
  Session,
  TransferOptions,
} from './types.ts'
