import { mkdirSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '@emet/core'
import type { ConfigFolder } from '../config.ts'

/** Changes settle for this long before they are read: editors write a file in several steps. */
const QUIET_MS = 300

/** The provider's JSON files in a folder of the disk. */
export function createConfigFolder(clock: Clock, folder: string): ConfigFolder {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return {
    read: (name) => {
      try {
        return readFileSync(join(folder, name), 'utf8')
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
        throw error
      }
    },
    write: (name, text) => {
      const temporary = join(folder, `.${name}.tmp`)
      writeFileSync(temporary, text, { mode: 0o600 })
      renameSync(temporary, join(folder, name))
    },
    watch: (listener) => {
      let cancel = () => {}
      const watcher = watch(folder, (_event, name) => {
        if (name !== null && !name.endsWith('.json')) return
        cancel()
        cancel = clock.setTimer(QUIET_MS, listener)
      })
      // A folder that is removed while we watch leaves the last configuration in force.
      watcher.on('error', () => {})
      watcher.unref()
      return () => {
        cancel()
        watcher.close()
      }
    },
  }
}
