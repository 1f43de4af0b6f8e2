/** The development network leaves a file that says how to reach it; every command finds it there. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { DEFAULT_DATA_DIR, type Environment } from '../settings.ts'

const networkFileSchema = z.object({
  pid: z.int(),
  apiUrl: z.string(),
  appKey: z.string(),
  nodeId: z.string(),
  rpcUrl: z.string(),
  network: z.string(),
  providers: z.array(z.object({ name: z.string(), nodeId: z.string(), apiUrl: z.string() })),
})
export type DevNetwork = z.output<typeof networkFileSchema>

export const devDir = (env: Environment): string => env['EMET_DEV_DIR'] ?? join(DEFAULT_DATA_DIR, 'dev')
const networkFile = (env: Environment) => join(devDir(env), 'network.json')

/** It holds an app key, so only this user may read it. */
export function writeDevNetwork(env: Environment, network: DevNetwork): void {
  writeFileSync(networkFile(env), JSON.stringify(network), { mode: 0o600 })
}

export function forgetDevNetwork(env: Environment): void {
  rmSync(networkFile(env), { force: true })
}

/** The running development network, if there is one. */
export function findDevNetwork(env: Environment): DevNetwork | undefined {
  try {
    const network = networkFileSchema.parse(JSON.parse(readFileSync(networkFile(env), 'utf8')))
    process.kill(network.pid, 0)
    return network
  } catch {
    return undefined
  }
}
