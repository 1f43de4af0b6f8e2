/** Commands over the provider's files. They need no running provider; a running one takes changes up at once. */
import { join } from 'node:path'
import { systemClock } from '@emet/core'
import { wasmDescriptor } from '@emet/exe-unit/protocol'
import { type ConfigName, type ProviderConfig, readConfig, writeConfig } from '@emet/provider'
import { createConfigFolder, createExeUnits, readMachine } from '@emet/provider/host'
import { CliError } from '../errors.ts'
import { createLogger } from '../logging.ts'
import type { Action, CommandContext } from './context.ts'
import { exeUnitEnvironment } from './exe-unit-environment.ts'

const HOUR_S = 3600
const CPU = 'golem.usage.cpu_sec'
const DURATION = 'golem.usage.duration_sec'

function open({ settings: { values }, env }: CommandContext) {
  const dir = env['DATA_DIR'] ?? join(values.dataDir, 'provider')
  const folder = createConfigFolder(systemClock, dir)
  const config = readConfig(folder, readMachine(dir))
  const write = <Name extends ConfigName>(name: Name, value: ProviderConfig[Name]) => writeConfig(folder, name, value)
  return { dir, config, write }
}

const find = ({ presets }: ProviderConfig, name: string) => {
  const preset = presets.presets.find((candidate) => candidate.name === name)
  if (preset) return preset
  const known = presets.presets.map((candidate) => candidate.name).join(', ')
  throw new CliError('not-found', `no preset "${name}"; there are: ${known}`)
}

function number(flags: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const given = flags[name]
  if (given === undefined) return undefined
  const value = Number(given)
  if (Number.isFinite(value) && value >= 0) return value
  throw new CliError('bad-argument', `--${name} is ${JSON.stringify(given)}: not a number`)
}

export const presetList: Action = async (context) => {
  const { presets } = open(context).config
  context.output.table(
    presets.presets.map((preset) => ({
      name: preset.name,
      active: presets.active.includes(preset.name) ? 'yes' : 'no',
      runtime: preset['exeunit-name'],
      'cpu GLM/h': (preset['usage-coeffs'][CPU] ?? 0) * HOUR_S,
      'time GLM/h': (preset['usage-coeffs'][DURATION] ?? 0) * HOUR_S,
      'start GLM': preset['initial-price'],
    })),
  )
}

export const presetSet: Action = async (context, [name = ''], flags) => {
  const { config, write } = open(context)
  const old = config.presets.presets.find((preset) => preset.name === name)
  const cpu = number(flags, 'cpuHour')
  const hour = number(flags, 'hour')
  const preset = {
    name,
    'exeunit-name': String(flags['exeUnit'] ?? old?.['exeunit-name'] ?? 'wasmtime'),
    'pricing-model': 'linear' as const,
    'initial-price': number(flags, 'start') ?? old?.['initial-price'] ?? 0,
    'usage-coeffs': {
      ...old?.['usage-coeffs'],
      ...(cpu === undefined ? {} : { [CPU]: cpu / HOUR_S }),
      ...(hour === undefined ? {} : { [DURATION]: hour / HOUR_S }),
    },
  }
  const others = config.presets.presets.filter((candidate) => candidate.name !== name)
  const active = old ? config.presets.active : [...config.presets.active, name]
  write('presets', { ...config.presets, presets: [...others, preset], active })
  context.output.done(`preset "${name}" is set`, preset)
}

export const presetActivate: Action = async (context, [name = '']) => {
  const { config, write } = open(context)
  find(config, name)
  write('presets', { ...config.presets, active: [...new Set([...config.presets.active, name])] })
  context.output.done(`preset "${name}" is sold`)
}

export const presetDeactivate: Action = async (context, [name = '']) => {
  const { config, write } = open(context)
  find(config, name)
  write('presets', { ...config.presets, active: config.presets.active.filter((active) => active !== name) })
  context.output.done(`preset "${name}" is not sold any more`)
}

export const presetRemove: Action = async (context, [name = '']) => {
  const { config, write } = open(context)
  find(config, name)
  const presets = config.presets.presets.filter((preset) => preset.name !== name)
  write('presets', { ...config.presets, presets, active: config.presets.active.filter((active) => active !== name) })
  context.output.done(`preset "${name}" is removed`)
}

export const profileShow: Action = async (context) => {
  const { dir, config } = open(context)
  const { hardware } = config
  context.output.record({ profile: hardware.active, ...hardware.profiles[hardware.active], machine: readMachine(dir) })
}

export const profileSet: Action = async (context, _args, flags) => {
  const { config, write } = open(context)
  const { hardware } = config
  const old = hardware.profiles[hardware.active]
  if (!old) throw new CliError('not-found', `hardware.json has no profile "${hardware.active}"`)
  const profile = {
    cpu_threads: number(flags, 'threads') ?? old.cpu_threads,
    mem_gib: number(flags, 'memory') ?? old.mem_gib,
    storage_gib: number(flags, 'storage') ?? old.storage_gib,
  }
  write('hardware', { ...hardware, profiles: { ...hardware.profiles, [hardware.active]: profile } })
  context.output.done(`profile "${hardware.active}" is set`, profile)
}

export const doctor: Action = async (context) => {
  const { dir } = open(context)
  const logger = createLogger('error')
  const descriptors = [wasmDescriptor(process.execPath)]
  const found = await createExeUnits(
    { clock: systemClock, logger },
    { descriptors, dataDir: dir, busUrl: '', env: exeUnitEnvironment(context.env) },
  ).runtimes()
  const rows = descriptors.map(({ name, version, description }) => ({
    runtime: name,
    version,
    usable: found.some((runtime) => runtime.name === name) ? 'yes' : 'no, see above',
    description,
  }))
  context.output.table(rows)
  if (found.length === 0) throw new CliError('not-found', 'this machine can sell nothing yet')
}
