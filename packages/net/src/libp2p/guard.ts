import { type Logger, messageOf, type Unregister } from '@emet/core'

/** Errors that libp2p throws where nobody can catch them, when a stream or a connection ends at an unlucky moment. */
const STRAY_NAMES: ReadonlySet<string> = new Set([
  'ConnectionClosedError',
  'MuxerClosedError',
  'StreamAbortEvent',
  'StreamBufferError',
  'StreamClosedError',
  'StreamResetError',
  'StreamStateError',
  'UnRequestedPingError',
])

/** Whether `thrown` is about one broken stream or connection of libp2p only: its session notices by itself. */
export function isStrayStreamError(thrown: unknown): boolean {
  if (typeof thrown !== 'object' || thrown === null) return false
  const { name, type, error } = thrown as { name?: unknown; type?: unknown; error?: unknown }
  const isStray = [name, thrown.constructor?.name].some((text) => typeof text === 'string' && STRAY_NAMES.has(text))
  return isStray || (type === 'close' && error !== undefined && isStrayStreamError(error))
}

/** The part of `process` that the guard needs. */
export type ErrorSource = {
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown
  off(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown
}

/**
 * Keeps a process alive when libp2p throws a stray error, and gives everything else to `onFatal`, which should log and
 * end the process as Node would have. For main programs; a library has no business here.
 */
export function guardStrayErrors(source: ErrorSource, logger: Logger, onFatal: (thrown: unknown) => void): Unregister {
  const listener = (thrown: unknown) => {
    if (!isStrayStreamError(thrown)) return onFatal(thrown)
    logger.warn('passed over a stray stream error of libp2p', { error: messageOf(thrown) })
  }
  source.on('uncaughtException', listener)
  source.on('unhandledRejection', listener)
  return () => {
    source.off('uncaughtException', listener)
    source.off('unhandledRejection', listener)
  }
}
