/** How commands find the daemon: by flags and environment, else by the file that a running daemon leaves in its folder. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, createClient } from '@emet/api'
import { z } from 'zod'
import { CliError } from './errors.ts'
import type { LoadedSettings } from './settings.ts'

const doorSchema = z.object({ apiUrl: z.string(), appKey: z.string(), pid: z.int() })
/** Where a daemon listens, and the key of this machine's own commands. */
export type Door = z.output<typeof doorSchema>

const doorFile = (dataDir: string) => join(dataDir, 'daemon.json')

/** Leaves the door file; it holds a key, so only this user may read it. */
export function writeDoor(dataDir: string, door: Door): void {
  writeFileSync(doorFile(dataDir), JSON.stringify(door), { mode: 0o600 })
}

export function removeDoor(dataDir: string): void {
  rmSync(doorFile(dataDir), { force: true })
}

export function readDoor(dataDir: string): Door | undefined {
  try {
    return doorSchema.parse(JSON.parse(readFileSync(doorFile(dataDir), 'utf8')))
  } catch {
    return undefined
  }
}

export type Connection = { readonly url: string; readonly appKey: string }

/** The daemon that the settings name. Throws `no-app-key` when there is no key for it. */
export function findDaemon({ values, sources }: LoadedSettings): Connection {
  const door = readDoor(values.dataDir)
  const isNamed = sources.apiUrl !== 'default'
  const url = isNamed ? values.apiUrl : (door?.apiUrl ?? values.apiUrl)
  const appKey = values.appKey || values.autoconfAppKey || (isNamed ? undefined : door?.appKey)
  if (appKey) return { url, appKey }
  throw new CliError(
    'no-app-key',
    `no app key for the daemon at ${url}: is it running? Start one with \`emet node run\` or a whole network with ` +
      '`emet dev`, or set EMET_API_URL and EMET_APPKEY',
  )
}

export function connectDaemon(settings: LoadedSettings): Client {
  return createClient(findDaemon(settings))
}
