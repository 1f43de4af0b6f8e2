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

type Counts = { readonly passed: number; readonly failed: number }

/** Runs vitest and counts. A run without tests, or one that breaks, is a failure. */
async function runTests(args: readonly string[]): Promise<Counts> {
  mkdirSync(dirname(reportFile), { recursive: true })
  rmSync(reportFile, { force: true })
  const reporters = ['--reporter=dot', '--reporter=json', `--outputFile.json=${reportFile}`]
  const ok = await run({ command: 'vitest', args: ['run', ...reporters, ...args] })
  const { passed, failed } = readCounts()
  return { passed, failed: failed === 0 && (!ok || passed === 0) ? 1 : failed }
}

function readCounts(): Counts {
  try {
    const report = JSON.parse(readFileSync(reportFile, 'utf8'))
    return { passed: Number(report.numPassedTests), failed: Number(report.numFailedTests) }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

/** End-to-end tests start many processes: one file at a time, and nothing beside them. */
const SUITES: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['tests', ['--exclude', 'tests/e2e/**']],
  ['end-to-end tests', ['--no-file-parallelism', 'tests/e2e']],
]

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

const suites = only.length > 0 ? [['tests', only] as const] : SUITES
let failed = failures.length
for (const [name, args] of suites) {
  console.log(`\n== ${name}`)
  const counts = await runTests(args)
  passed += counts.passed
  failed += counts.failed
}

for (const name of failures) console.log(`failed: ${name}`)
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
