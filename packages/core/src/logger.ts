/**
 * Logging as a port. `message` is constant text; everything that varies goes into `fields`. The level says what the
 * operator should do: error = act now, warn = look soon, info = nothing, debug = for developers.
 * Never log secrets, and peers' raw bytes only at debug.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds `fields` to each line. */
  child(fields: LogFields): Logger
}

export type LogFields = Readonly<Record<string, unknown>>

/** Drops everything. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
}
