import type { Client } from '@emet/api'
import type { Output } from '../output.ts'
import type { LoadedSettings } from '../settings.ts'

/** What a command gets. */
export type CommandContext = {
  readonly settings: LoadedSettings
  readonly output: Output
  /** Opens the daemon on first use. */
  readonly client: () => Client
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal
}

/** A command's work: arguments in order, then its own flags. */
export type Action = (
  context: CommandContext,
  args: readonly string[],
  flags: Readonly<Record<string, unknown>>,
) => Promise<void>

/** One command: declared as data, so that help, parsing and documents agree. */
export type CommandSpec = {
  /** As typed, with arguments: `app-key create <name>`. */
  readonly usage: string
  readonly summary: string
  readonly flags?: readonly (readonly [flag: string, doc: string])[]
  /** It runs a daemon, and takes a flag for each of its settings. */
  readonly takesDaemonSettings?: boolean
  /** Loaded when the command is run: starting up must not pay for the others. */
  readonly load: () => Promise<Action>
}
