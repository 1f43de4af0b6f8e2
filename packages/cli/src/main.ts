/** The `emet` executable. The program is imported after the caches are on, which halves the start. */
import { startQuickly } from '@emet/exe-unit/startup'

startQuickly()
const { main } = await import('./program.ts')
process.exitCode = await main(process.argv.slice(2))
