/** How commands find the daemon: by flags and environment, else by the file that a running daemon leaves in its folder. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, createClient } from '@emet/api'
import { z } from 'zod'
import { CliError } from './errors.ts'
import { findDevNetwork } from './network/dev-network.ts'
import type { Environment, LoadedSettings } from './settings.ts'

const doorSchema = z.object({ apiUrl: z.string(), busUrl: z.string(), appKey: z.string(), pid: z.int() })
/** Where a daemon listens (REST, and the bus of this machine's processes), and the key of this machine's own commands. */
export type Door = z.output<typeof doorSchema>

const doorFile = (dataDir: string) => join(dataDir, 'daemon.json')

/** Leaves the door file; it holds a key, so only this user may read it. */
export function writeDoor(dataDir: string, door: Door): void {
  writeFileSync(doorFile(dataDir), JSON.stringify(door), { mode: 0o600 })
}

export function removeDoor(dataDir: string): void {
  rmSync(doorFile(dataDir), { force: true })
}

/** The door of a daemon that runs: a file that a killed one has left is passed over. */
export function readDoor(dataDir: string): Door | undefined {
  try {
    const door = doorSchema.parse(JSON.parse(readFileSync(doorFile(dataDir), 'utf8')))
    process.kill(door.pid, 0)
    return door
  } catch {
    return undefined
  }
}

export type Connection = { readonly url: string; readonly appKey: string }

/**
 * The daemon to talk to: the one that is named; else the one that runs here; else the development network. Throws
 * `no-app-key` when there is none.
 */
export function findDaemon({ values, sources }: LoadedSettings, env: Environment): Connection {
  const appKey = values.appKey || values.autoconfAppKey
  if (sources.apiUrl !== 'default') {
    if (appKey) return { url: values.apiUrl, appKey }
    throw new CliError('no-app-key', `no app key for ${values.apiUrl}: set EMET_APPKEY`)
  }
  const door = readDoor(values.dataDir)
  const dev = findDevNetwork(env)
  const found = door ? { url: door.apiUrl, appKey: door.appKey } : dev && { url: dev.apiUrl, appKey: dev.appKey }
  if (appKey) return { url: found?.url ?? values.apiUrl, appKey }
  if (found) return found
  throw new CliError(
    'no-daemon',
    'no daemon runs here: start one with `emet node run`, or a whole network with `emet dev`, or set EMET_API_URL and EMET_APPKEY',
  )
}

export function connectDaemon(settings: LoadedSettings, env: Environment): Client {
  return createClient(findDaemon(settings, env))
}
