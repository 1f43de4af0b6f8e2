/**
 * What can be set, from where: a flag wins over the environment, the environment over `config.json` in the data folder,
 * that over the default. Each setting has an `EMET_` name; the names of the original daemon are accepted beside it.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { CliError } from './errors.ts'

type Setting<T> = {
  readonly schema: z.ZodType<T>
  readonly env: readonly string[]
  readonly fallback: T
  readonly doc: string
  /** Names of other programs, with more in them than we know: what we make of such a value; undefined passes it over. */
  readonly foreign?: Readonly<Record<string, (value: string) => T | undefined>>
}

const setting = <T>(
  schema: z.ZodType<T>,
  env: readonly string[],
  fallback: T,
  doc: string,
  foreign: Setting<T>['foreign'] = {},
): Setting<T> => ({ schema, env, fallback, doc, foreign })

const list = z.union([
  z.array(z.string()),
  z.string().transform((text) => text.split(',').filter((item) => item !== '')),
])
const truth = z.union([
  z.boolean(),
  z.enum(['1', '0', 'true', 'false']).transform((text) => text === '1' || text === 'true'),
])

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
type LogLevel = (typeof LOG_LEVELS)[number]

/** The levels of the original daemon's log filters that have another name here. */
const FOREIGN_LEVELS: Readonly<Record<string, LogLevel>> = { trace: 'debug', warning: 'warn', off: 'error' }

/** The level of a log filter such as `info,ya_net=off`: the general one, else the first that it names. */
export function levelOfFilter(filter: string): LogLevel | undefined {
  const levels = (words: readonly string[]) =>
    words.map((word) => LOG_LEVELS.find((level) => level === word) ?? FOREIGN_LEVELS[word])
  const directives = filter.toLowerCase().split(',')
  const general = levels(directives.map((directive) => directive.trim()))
  const all = levels(directives.flatMap((directive) => directive.split(/[^a-z]+/)))
  return [...general, ...all].find((level) => level !== undefined)
}

/** Where data is kept unless told otherwise. */
export const DEFAULT_DATA_DIR = join(homedir(), '.local', 'share', 'emet')

/** The shortest payment cycle, in ms: below it, the daemon would do nothing but look for due documents. */
const PAYMENT_CYCLE_MS_MIN = 50

export const SETTINGS = {
  dataDir: setting(
    z.string(),
    ['EMET_DATADIR', 'YAGNA_DATADIR'],
    join(DEFAULT_DATA_DIR, 'node'),
    'folder of the daemon',
  ),
  apiUrl: setting(z.url(), ['EMET_API_URL', 'YAGNA_API_URL'], 'http://127.0.0.1:7465', 'where the REST API listens'),
  apiAllowOrigin: setting(list, ['EMET_API_ALLOW_ORIGIN', 'YAGNA_API_ALLOW_ORIGIN'], [], 'origins of browser programs'),
  busUrl: setting(z.string(), ['EMET_BUS_URL', 'GSB_URL'], '', 'local bus socket: unix:/path or tcp://127.0.0.1:port'),
  appKey: setting(z.string(), ['EMET_APPKEY', 'YAGNA_APPKEY'], '', 'app key that commands use'),
  autoconfAppKey: setting(
    z.string(),
    ['EMET_AUTOCONF_APPKEY', 'YAGNA_AUTOCONF_APPKEY'],
    '',
    'app key that exists while the daemon runs',
  ),
  defaultPasswordFile: setting(
    z.string(),
    ['EMET_DEFAULT_PASSWORD_FILE'],
    '',
    'file with the password of the default identity, to unlock it at start',
  ),
  autoconfSecret: setting(
    z.string(),
    ['EMET_AUTOCONF_ID_SECRET', 'YAGNA_AUTOCONF_ID_SECRET'],
    '',
    'private key of the default identity',
  ),
  netListen: setting(
    list,
    ['EMET_NET_LISTEN'],
    ['/ip4/0.0.0.0/tcp/11500'],
    'addresses at which peers connect (multiaddr)',
  ),
  netAnnounce: setting(list, ['EMET_NET_ANNOUNCE'], [], 'public addresses to announce (multiaddr)'),
  netBootstrap: setting(list, ['EMET_NET_BOOTSTRAP'], [], 'peers to start from (multiaddr with /p2p/...)'),
  netMdns: setting(truth, ['EMET_NET_MDNS'], true, 'find peers on the local network'),
  index: setting(truth, ['EMET_INDEX'], false, "keep other nodes' offers and answer queries over them"),
  paymentCycleMs: setting(
    z.coerce
      .number()
      .int()
      .refine((ms) => ms === 0 || ms >= PAYMENT_CYCLE_MS_MIN, `neither 0 nor at least ${PAYMENT_CYCLE_MS_MIN}`),
    ['EMET_PAYMENT_CYCLE_MS'],
    0,
    'how often accepted documents are paid; 0 = by network',
  ),
  paymentGatherMs: setting(
    z.coerce.number().int().min(0),
    ['EMET_PAYMENT_GATHER_MS'],
    0,
    'how long due payments are gathered into one transaction; 0 = 10 s',
  ),
  paymentNetwork: setting(
    z.string(),
    ['EMET_PAYMENT_NETWORK', 'YAGNA_PAYMENT_NETWORK', 'PAYMENT_NETWORK'],
    '',
    'payment network when none is named; empty = hoodi',
  ),
  skipAllocationValidation: setting(
    truth,
    ['EMET_DEV_SKIP_ALLOCATION_VALIDATION', 'YAGNA_DEV_SKIP_ALLOCATION_VALIDATION'],
    false,
    'accept allocations without looking at the balance; for tests only',
  ),
  durability: setting(
    z.enum(['power-cut', 'crash']),
    ['EMET_DURABILITY'],
    'power-cut',
    'what a committed step survives: power-cut, or crash (faster; for test networks)',
  ),
  logLevel: setting(z.enum(LOG_LEVELS), ['EMET_LOG', 'RUST_LOG'], 'info', 'least level to log', {
    RUST_LOG: levelOfFilter,
  }),
} as const

export type SettingName = keyof typeof SETTINGS
export type Settings = { readonly [K in SettingName]: (typeof SETTINGS)[K] extends Setting<infer T> ? T : never }
export type SettingSource = 'flag' | 'environment' | 'file' | 'default'

export type LoadedSettings = {
  readonly values: Settings
  readonly sources: Readonly<Record<SettingName, SettingSource>>
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Joins flags, environment, file and defaults. Throws `CliError` naming the setting, where it came from, and the value. */
export function loadSettings(flags: Readonly<Record<string, unknown>>, env: Environment): LoadedSettings {
  const dataDir = String(flags['dataDir'] ?? fromEnvironment('dataDir', env)?.value ?? SETTINGS.dataDir.fallback)
  const file = readConfigFile(join(dataDir, 'config.json'))
  const values: Record<string, unknown> = {}
  const sources: Record<string, SettingSource> = {}
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const fromEnv = fromEnvironment(name, env)
    const [source, raw, where] =
      flags[name] !== undefined
        ? (['flag', flags[name], `--${toKebab(name)}`] as const)
        : fromEnv
          ? (['environment', fromEnv.value, fromEnv.name] as const)
          : file[name] !== undefined
            ? (['file', file[name], `${name} in ${join(dataDir, 'config.json')}`] as const)
            : (['default', SETTINGS[name].fallback, 'the default'] as const)
    values[name] = source === 'default' ? raw : parseSetting(name, raw, where)
    sources[name] = source
  }
  return { values: values as Settings, sources: sources as Record<SettingName, SettingSource> }
}

function fromEnvironment(name: SettingName, env: Environment): { name: string; value: string } | undefined {
  for (const variable of SETTINGS[name].env) {
    const given = env[variable]
    if (given === undefined || given === '') continue
    const understand = (SETTINGS[name] as Setting<unknown>).foreign?.[variable]
    const value = understand ? understand(given) : given
    if (value !== undefined) return { name: variable, value: String(value) }
  }
  return undefined
}

function parseSetting(name: SettingName, raw: unknown, where: string): unknown {
  const result = SETTINGS[name].schema.safeParse(raw)
  if (result.success) return result.data
  const why = result.error.issues[0]?.message ?? 'not valid'
  throw new CliError('bad-setting', `${where} is ${JSON.stringify(raw)}: ${why}. It sets: ${SETTINGS[name].doc}`)
}

function readConfigFile(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return {}
  }
  const known = new Set(Object.keys(SETTINGS))
  const parsed = z.record(z.string(), z.unknown()).safeParse(parseJson(text))
  if (!parsed.success) throw new CliError('bad-setting', `${path} is not a JSON object`)
  const unknown = Object.keys(parsed.data).filter((name) => !known.has(name))
  if (unknown.length > 0) {
    throw new CliError(
      'bad-setting',
      `${path} has unknown settings: ${unknown.join(', ')}. Known: ${[...known].join(', ')}`,
    )
  }
  return parsed.data
}

function parseJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CliError('bad-setting', `not JSON: ${text.slice(0, 80)}`, {}, { cause })
  }
}

export const toKebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
