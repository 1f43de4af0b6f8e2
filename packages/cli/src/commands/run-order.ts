/** What `emet run` is told, checked before anything is rented. */
import { accessSync, constants, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { messageOf, parseAmount } from '@emet/core'
import { CliError } from '../errors.ts'

const DEFAULT_BUDGET_GLM = '1'
const DEFAULT_TIMEOUT_S = 1800
const DEFAULT_WAIT_S = 30
/** A month. */
const SECONDS_MAX = 31 * 86_400

export type RunOrder = {
  /** Absolute path of the program. */
  readonly program: string
  readonly args: readonly string[]
  readonly entryPoint: string
  readonly inputs: readonly { readonly path: string; readonly to: string }[]
  readonly outputs: readonly { readonly from: string; readonly path: string }[]
  readonly budget: string
  readonly durationMs: number
  readonly findMs: number
  readonly subnet: string
  readonly network: string | undefined
  readonly isQuiet: boolean
}

/** Reads the command line of `emet run`. Throws `bad-argument` or `not-found`, which names the file or flag. */
export function readRunOrder(args: readonly string[], flags: Readonly<Record<string, unknown>>): RunOrder {
  const [program = '', ...rest] = args
  const text = (name: string) => (typeof flags[name] === 'string' ? (flags[name] as string) : undefined)
  return {
    program: readableFile(program, 'the program'),
    args: rest,
    entryPoint: text('entry') ?? 'main',
    inputs: named(listOf(flags['in']), '--in').map(([name, path]) => {
      return { path: readableFile(path, '--in'), to: `/input/${name}` }
    }),
    outputs: named(listOf(flags['out']), '--out').map(([name, path]) => {
      return { from: `/output/${name}`, path: writableFile(path) }
    }),
    budget: budgetOf(text('budget') ?? DEFAULT_BUDGET_GLM),
    durationMs: secondsOf('--timeout', text('timeout'), DEFAULT_TIMEOUT_S) * 1000,
    findMs: secondsOf('--wait', text('wait'), DEFAULT_WAIT_S) * 1000,
    subnet: text('subnet') ?? 'public',
    network: text('network'),
    isQuiet: flags['quiet'] === true,
  }
}

const listOf = (value: unknown) => (Array.isArray(value) ? value.map(String) : [])

/** Files go by their names there, so two may not have the same. */
function named(paths: readonly string[], flag: string): (readonly [name: string, path: string])[] {
  const names = new Map<string, string>()
  for (const path of paths) {
    const name = basename(path)
    const other = names.get(name)
    if (other !== undefined) {
      throw new CliError('bad-argument', `${flag}: ${other} and ${path} would both be called ${name} there`)
    }
    names.set(name, path)
  }
  return [...names]
}

function readableFile(path: string, what: string): string {
  const full = resolve(path)
  const isFile = attempt(`${what}: ${path} cannot be read`, () => {
    accessSync(full, constants.R_OK)
    return statSync(full).isFile()
  })
  if (!isFile) throw new CliError('bad-argument', `${what}: ${path} is no file`)
  return full
}

function writableFile(path: string): string {
  const full = resolve(path)
  const folder = dirname(full)
  attempt(`--out: ${path} cannot be written`, () => accessSync(folder, constants.W_OK))
  if (statSync(full, { throwIfNoEntry: false })?.isDirectory())
    throw new CliError('bad-argument', `--out: ${path} is a folder; name the file`)
  return full
}

function attempt<T>(what: string, task: () => T): T {
  try {
    return task()
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new CliError('not-found', `${what}: ${isMissing ? 'it does not exist' : messageOf(error)}`)
  }
}

function budgetOf(text: string): string {
  const amount = parseAmount(text)
  if (amount === undefined)
    throw new CliError('bad-argument', `--budget: ${JSON.stringify(text)} is no amount of GLM, such as 0.25`)
  if (amount > 0n) return text
  throw new CliError('bad-argument', '--budget: it must be more than 0')
}

function secondsOf(flag: string, text: string | undefined, fallback: number): number {
  const seconds = text === undefined ? fallback : Number(text)
  if (text?.trim() !== '' && seconds > 0 && seconds <= SECONDS_MAX) return seconds
  throw new CliError(
    'bad-argument',
    `${flag}: ${JSON.stringify(text)} is no number of seconds from 1 to ${SECONDS_MAX}`,
  )
}
