/**
 * `./emet test`: every check of the repository, in the order in which a failure is cheapest to find. Ends with the line
 * `N passed, N failed`, counting tests and checks.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const home = join(import.meta.dirname, '..')
const bin = join(home, 'node_modules', '.bin')
const reportFile = join(home, 'node_modules', '.cache', 'vitest-report.json')

type Check = { readonly name: string; readonly command: string; readonly args: readonly string[] }

const CHECKS: readonly Check[] = [
  { name: 'format and lint', command: 'biome', args: ['ci', '.'] },
  {
    name: 'types',
    command: 'tsc',
    args: ['--noEmit', '--incremental', '--tsBuildInfoFile', join(home, 'node_modules/.cache/tsc.json')],
  },
  { name: 'dependency direction', command: 'node', args: [join(home, 'scripts', 'boundaries.ts')] },
  { name: 'dead code', command: 'knip', args: [] },
]

/** Runs a tool of the repository with this process's Node first on the path. */
function run({ command, args }: Pick<Check, 'command' | 'args'>): Promise<boolean> {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${bin}:${process.env['PATH']}`, FORCE_COLOR: '0' }
  const path = command === 'node' ? process.execPath : join(bin, command)
  return new Promise((resolve) => {
    const child = spawn(path, args, { cwd: home, env, stdio: 'inherit' })
    child.on('error', () => resolve(false))
    child.on('exit', (code) => resolve(code === 0))
  })
}

/** What vitest says of its run. A run without tests is a failure. */
function countTests(): { passed: number; failed: number } {
  try {
    const report = JSON.parse(readFileSync(reportFile, 'utf8'))
    const failed = Number(report.numFailedTests) + (report.success || report.numFailedTests > 0 ? 0 : 1)
    return { passed: Number(report.numPassedTests), failed: report.numTotalTests > 0 ? failed : 1 }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

const only = process.argv.slice(2)
const failures: string[] = []
let passed = 0
if (only.length === 0) {
  for (const check of CHECKS) {
    console.log(`\n== ${check.name}`)
    if (await run(check)) passed++
    else failures.push(check.name)
  }
}

console.log('\n== tests')
mkdirSync(dirname(reportFile), { recursive: true })
rmSync(reportFile, { force: true })
const args = ['run', '--reporter=dot', '--reporter=json', `--outputFile.json=${reportFile}`, ...only]
const ok = await run({ command: 'vitest', args })
const tests = countTests()
if (!ok && tests.failed === 0) tests.failed = 1

for (const name of failures) console.log(`failed: ${name}`)
console.log(`\n${passed + tests.passed} passed, ${failures.length + tests.failed} failed`)
process.exit(failures.length + tests.failed === 0 ? 0 : 1)
