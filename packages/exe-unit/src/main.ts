/** The supervisor's executable. Everything else is imported after the caches are on: an activity's first byte waits for it. */
import { startQuickly } from './startup.ts'

startQuickly()
const { run } = await import('./program.ts')
run(process.argv.slice(2), process.env)
