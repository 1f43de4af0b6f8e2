/** The `emet` command: parses the command line and runs one command. What there is, is in `commands/index.ts`. */
import { Command, CommanderError, Option } from 'commander'
import type { CommandSpec } from './commands/context.ts'
import { COMMANDS, GROUPS } from './commands/index.ts'
import { connectDaemon } from './daemon.ts'
import { failureRecord, tellFailure } from './failure.ts'
import { createOutput, printable } from './output.ts'
import { loadSettings, SETTINGS, type SettingName, toKebab } from './settings.ts'
import { readVersion } from './version.ts'

/** Exit codes: 1 it failed, 2 it was called wrongly, 130 it was interrupted. */
const FAILED = 1
const MISUSED = 2
const INTERRUPTED = 130

export async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new AbortController()
  const program = new Command('emet')
    .description('A Golem node: rents machines out, and rents them. One program for both roles.')
    .version(readVersion())
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .option('--json', 'print JSON')
  let exitCode = 0
  for (const name of EVERYWHERE) program.addOption(settingOption(name))
  for (const spec of COMMANDS) {
    addCommand(program, spec, async (args, flags, all) => {
      exitCode = await runCommand(spec, args, flags, all, interrupt)
    })
  }
  try {
    await program.parseAsync(argv as string[], { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED
    if (interrupt.signal.aborted) return INTERRUPTED
    const isJson = program.opts()['json'] === true
    process.stderr.write(
      isJson ? `${JSON.stringify(failureRecord(error), printable)}\n` : `emet: ${tellFailure(error)}\n`,
    )
    return FAILED
  }
}

/** Settings of every command. The others are the daemon's. */
const EVERYWHERE: readonly SettingName[] = ['dataDir', 'apiUrl', 'logLevel']
/** Secrets have no flag: other users of the machine can read command lines. */
const WITHOUT_FLAG: readonly SettingName[] = ['autoconfSecret', 'autoconfAppKey', 'appKey']
const DAEMON_SETTINGS = (Object.keys(SETTINGS) as SettingName[]).filter(
  (name) => !EVERYWHERE.includes(name) && !WITHOUT_FLAG.includes(name),
)

function settingOption(name: SettingName): Option {
  const { doc, env } = SETTINGS[name]
  return new Option(`--${toKebab(name)} <value>`, `${doc} (${env[0]})`)
}

/**
 * A flag that takes several values, `--in <file...>`, takes one each time it is given. Taking all words that follow, it
 * would swallow the arguments of the command.
 */
function commandOption(flag: string, doc: string): Option {
  if (!flag.includes('...')) return new Option(flag, doc)
  const option = new Option(flag.replace('...', ''), `${doc}; may be given several times`)
  return option.argParser((value: string, earlier: string[] | undefined) => [...(earlier ?? []), value])
}

type Run = (args: string[], flags: Record<string, unknown>, all: Record<string, unknown>) => Promise<void>

/** Hangs a command into the tree: `id create` is `create` below `id`. */
function addCommand(program: Command, spec: CommandSpec, run: Run): void {
  const words = spec.usage.split(' ')
  const names = words.filter((word) => !/^[<[]/.test(word))
  let parent = program
  for (const name of names.slice(0, -1)) {
    parent =
      parent.commands.find((child) => child.name() === name) ??
      parent
        .command(name)
        .description(GROUPS[name] ?? '')
        .exitOverride()
  }
  const command = parent
    .command(names.at(-1) as string)
    .description(spec.summary)
    .exitOverride()
  for (const word of words.filter((candidate) => /^[<[]/.test(candidate))) command.argument(word)
  for (const [flag, doc] of spec.flags ?? []) command.addOption(commandOption(flag, doc))
  if (spec.takesDaemonSettings) for (const name of DAEMON_SETTINGS) command.addOption(settingOption(name))
  if (words.includes('[args...]')) command.showHelpAfterError("(the program's own options go after --)")
  command.action(async (...given: unknown[]) => {
    const args = given
      .slice(0, -2)
      .flat()
      .filter((arg): arg is string => typeof arg === 'string')
    await run(args, command.opts(), command.optsWithGlobals())
  })
}

async function runCommand(
  spec: CommandSpec,
  args: readonly string[],
  flags: Record<string, unknown>,
  all: Record<string, unknown>,
  interrupt: AbortController,
): Promise<number> {
  const env = process.env
  const settings = loadSettings(all, env)
  const output = createOutput((text) => process.stdout.write(text), all['json'] === true)
  let client: ReturnType<typeof connectDaemon> | undefined
  const onInterrupt = () => interrupt.abort(new Error('interrupted'))
  process.once('SIGINT', onInterrupt)
  process.once('SIGTERM', onInterrupt)
  const action = await spec.load()
  await action(
    { settings, output, env, signal: interrupt.signal, client: () => (client ??= connectDaemon(settings, env)) },
    args,
    flags,
  )
  return typeof process.exitCode === 'number' ? process.exitCode : 0
}
