import type { Environment } from '../settings.ts'

/** What a process needs of its surroundings. Secrets of the agent are not among it. */
const NAMES = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'NODE_COMPILE_CACHE'] as const

/** The environment of exe-units. */
export function exeUnitEnvironment(env: Environment): Record<string, string> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
