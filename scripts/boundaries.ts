/** Checks the dependency direction with dependency-cruiser, and fails when it has looked at nothing. */

import { join } from 'node:path'
import { cruise } from 'dependency-cruiser'
import extractOptions from 'dependency-cruiser/config-utl/extract-depcruise-options'

/** Far below the real number of modules; a run that sees fewer has a broken configuration. */
const MODULES_MIN = 100

const home = join(import.meta.dirname, '..')
process.chdir(home)
const options = await extractOptions(join(home, '.dependency-cruiser.cjs'))
const result = await cruise(['packages'], options, {})
if (typeof result.output === 'string') throw new Error('unexpected report')
const { violations, totalCruised } = result.output.summary
for (const { rule, from, to } of violations) console.error(`${rule.name}: ${from} -> ${to}`)
if (totalCruised < MODULES_MIN) console.error(`only ${totalCruised} modules were seen: the check is broken`)
else console.log(`${totalCruised} modules, ${violations.length} violations`)
process.exit(violations.length > 0 || totalCruised < MODULES_MIN ? 1 : 0)
