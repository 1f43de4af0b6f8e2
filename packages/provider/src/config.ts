import type { Logger } from '@emet/core'
import type { z } from 'zod'
import { ProviderError } from './errors.ts'
import { defaultProfile, type HardwareFile, hardwareFileSchema, type Machine } from './hardware.ts'
import { DEFAULT_PRESETS, type PresetsFile, presetsFileSchema } from './preset.ts'
import { type Globals, globalsFileSchema, type Rules, rulesFileSchema } from './rules.ts'

/** The provider's folder of JSON files, as a port. */
export interface ConfigFolder {
  /** The text of a file; undefined when there is none. */
  read(name: string): string | undefined
  /** Replaces a file, whole or not at all. */
  write(name: string, text: string): void
  /** Calls `listener` after files have changed and been quiet for a moment. */
  watch(listener: () => void): () => void
}

export type ProviderConfig = {
  readonly presets: PresetsFile
  readonly hardware: HardwareFile
  readonly rules: Rules
  readonly globals: Globals
}

const FILES = {
  presets: ['presets.json', presetsFileSchema],
  hardware: ['hardware.json', hardwareFileSchema],
  rules: ['rules.json', rulesFileSchema],
  globals: ['globals.json', globalsFileSchema],
} as const

export type ConfigName = keyof typeof FILES

/** Reads the files; a missing one has its default and is written out, so that there is something to edit. */
export function readConfig(folder: ConfigFolder, machine: Machine): ProviderConfig {
  const defaults: ProviderConfig = {
    presets: DEFAULT_PRESETS,
    hardware: { active: 'default', profiles: { default: defaultProfile(machine) } },
    rules: rulesFileSchema.parse({}),
    globals: {},
  }
  const load = <Name extends ConfigName>(name: Name): ProviderConfig[Name] => {
    const text = folder.read(FILES[name][0])
    if (text !== undefined) return parseFile(name, text) as ProviderConfig[Name]
    writeConfig(folder, name, defaults[name])
    return defaults[name]
  }
  return { presets: load('presets'), hardware: load('hardware'), rules: load('rules'), globals: load('globals') }
}

/** Checks and replaces one file. Throws `bad-config` and changes nothing when `value` is not valid. */
export function writeConfig<Name extends ConfigName>(
  folder: ConfigFolder,
  name: Name,
  value: ProviderConfig[Name],
): void {
  check(name, value)
  folder.write(FILES[name][0], `${JSON.stringify(value, null, 2)}\n`)
}

/** Keeps the last valid configuration while somebody edits the files; a broken file is reported and waited out. */
export function watchConfig(
  folder: ConfigFolder,
  machine: Machine,
  logger: Logger,
  onChange: (config: ProviderConfig) => void,
): () => void {
  return folder.watch(() => {
    try {
      onChange(readConfig(folder, machine))
    } catch (error) {
      logger.warn('the changed configuration is not valid; the old one stays in force', { error })
    }
  })
}

function parseFile(name: ConfigName, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ProviderError('bad-config', `${FILES[name][0]} is not JSON`, { file: FILES[name][0] }, { cause })
  }
  return check(name, value)
}

function check(name: ConfigName, value: unknown): unknown {
  const [file, schema] = FILES[name] as readonly [string, z.ZodType]
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') || '(whole file)'
  throw new ProviderError('bad-config', `${file}: ${field}: ${issue?.message}`, { file, field })
}
