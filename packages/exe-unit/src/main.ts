/**
 * The supervisor's executable. Everything else is imported after the compile cache is on: an activity's first byte waits
 * for this start, and the cache halves it.
 */
import { enableCompileCache } from 'node:module'

enableCompileCache()
const { run } = await import('./program.ts')
run(process.argv.slice(2), process.env)
