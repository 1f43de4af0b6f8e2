/** The command line of the supervisor. Unknown options fail, as a mistyped limit must not be ignored. */
import { parseArgs } from 'node:util'
import { ExeUnitError } from './errors.ts'
import { RUNTIME_CHOICES, type RuntimeChoice } from './protocol.ts'

export const HELP = `exe-unit [options] <command>

  service-bus <activity_id> <report_url> -a AGREEMENT -w WORKDIR -c CACHEDIR
                          serve one activity
  offer-template          print what an offer says about the runtime
  test                    run the runtime's self-test

  --runtime wasm|mock     the runtime (default wasm)
  --gsb-url URL           the daemon's local bus (default $GSB_URL): unix:/path or tcp://127.0.0.1:7464
  --keep-work-dir         leave the work folder at the end
  --allow-private-hosts   allow transfers with web addresses of private networks and of this machine
  --command-sec N         wall time that one run command may take
  --orphan-sec N          how long to live without the daemon (default 600)
  --cache-gib N           size budget of the image cache (default 20)
  --in-memory             run without bubblewrap, on a file system in memory; only V8 then confines programs
  --bubblewrap PATH       the program bwrap (default: searched)
`

export type CliOptions = {
  readonly command: 'service-bus' | 'offer-template' | 'test' | 'help'
  readonly runtime: RuntimeChoice
  readonly busUrl: string | undefined
  readonly activityId: string
  readonly reportUrl: string
  readonly agreementFile: string
  readonly workDir: string
  readonly cacheDir: string
  readonly keepWorkDir: boolean
  readonly allowPrivateHosts: boolean
  readonly commandMs: number | undefined
  readonly orphanMs: number | undefined
  readonly cacheBytesMax: number | undefined
  readonly bubblewrap: string | undefined
  readonly confinement: 'jailed' | 'in-memory'
}

const COMMANDS = ['service-bus', 'offer-template', 'test', 'help'] as const

/** Parses the arguments. Fails with `bad-request`, which names the option and the value. */
export function parseOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): CliOptions {
  const { values, positionals } = parseStrictly(args)
  const [name = 'help', activityId = '', reportUrl = ''] = positionals
  const command = values.help ? 'help' : COMMANDS.find((known) => known === name)
  if (!command) throw bad(`${name} is no command; see --help`)
  const runtime = RUNTIME_CHOICES.find((known) => known === values.runtime)
  if (!runtime) throw bad(`--runtime ${values.runtime} is not one of ${RUNTIME_CHOICES.join(', ')}`)
  if (command === 'service-bus') requireAll({ activity_id: activityId, report_url: reportUrl, ...pick(values) })
  return {
    ...{ command, runtime, activityId, reportUrl },
    busUrl: values['gsb-url'] ?? env['GSB_URL'],
    agreementFile: values.agreement ?? '',
    workDir: values['work-dir'] ?? '',
    cacheDir: values['cache-dir'] ?? '',
    keepWorkDir: values['keep-work-dir'] ?? false,
    allowPrivateHosts: values['allow-private-hosts'] ?? false,
    commandMs: positive('command-sec', values['command-sec'], 1000),
    orphanMs: positive('orphan-sec', values['orphan-sec'], 1000),
    cacheBytesMax: positive('cache-gib', values['cache-gib'], 2 ** 30),
    bubblewrap: values.bubblewrap,
    confinement: values['in-memory'] ? 'in-memory' : 'jailed',
  }
}

function parseStrictly(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        runtime: { type: 'string', default: 'wasm' },
        'gsb-url': { type: 'string' },
        agreement: { type: 'string', short: 'a' },
        'work-dir': { type: 'string', short: 'w' },
        'cache-dir': { type: 'string', short: 'c' },
        'keep-work-dir': { type: 'boolean' },
        'allow-private-hosts': { type: 'boolean' },
        'command-sec': { type: 'string' },
        'orphan-sec': { type: 'string' },
        'cache-gib': { type: 'string' },
        'in-memory': { type: 'boolean' },
        bubblewrap: { type: 'string' },
      },
    })
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error))
  }
}

function pick(values: { agreement?: string; 'work-dir'?: string; 'cache-dir'?: string }) {
  return { '-a AGREEMENT': values.agreement, '-w WORKDIR': values['work-dir'], '-c CACHEDIR': values['cache-dir'] }
}

function requireAll(values: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(values)) if (!value) throw bad(`service-bus needs ${name}; see --help`)
}

function positive(name: string, text: string | undefined, unit: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value * unit
  throw bad(`--${name} ${text} is not a number over 0`)
}

function bad(message: string): ExeUnitError {
  return new ExeUnitError('bad-request', message)
}
