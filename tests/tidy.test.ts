/** What no linter checks: house rules that can be read off the sources. Each complaint names what to use instead. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { findLimits, renderLimits } from '../scripts/limits.ts'

const home = join(import.meta.dirname, '..')
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: home,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(home, path)))

const FILE_LINES_MAX = 500
const FILE_BYTES_MAX = 256 * 1024
/** Generated or built files that may be large. */
const LARGE_FILES = /(^|\/)(package-lock\.json|openapi\.json)$|\.wasm$|\.png$|\/artifacts\//

const read = (path: string) => readFileSync(join(home, path), 'utf8')
const isTest = (path: string) => /\.test\.ts$|\/testing(\.ts$|\/)/.test(path)
const sources = tracked.filter((path) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path))
const modules = sources.filter((path) => !isTest(path))

type Rule = {
  readonly forbidden: RegExp
  readonly instead: string
  /** Files that are allowed to: the one place where the port meets the platform. */
  readonly except?: RegExp
}

/** Programs: they meet the platform on purpose. */
const PROGRAMS = /^packages\/cli\/|\/main\.ts$/

const RULES: readonly Rule[] = [
  { forbidden: /\bDate\.now\(|\bnew Date\(\)/, instead: 'Clock', except: /core\/src\/clock\.ts$/ },
  {
    forbidden: /\bset(Timeout|Interval)\(/,
    instead: 'Clock.setTimer',
    except: /core\/src\/clock\.ts$|^packages\/cli\/src\//,
  },
  { forbidden: /\bMath\.random\(/, instead: 'Random' },
  { forbidden: /\bconsole\./, instead: 'Logger', except: PROGRAMS },
  { forbidden: /\bprocess\.env\b/, instead: 'options', except: PROGRAMS },
  { forbidden: /^export \*/, instead: 'named exports' },
  { forbidden: /^(export )?(const )?enum /, instead: 'a union of literals' },
  { forbidden: /\b(TODO|FIXME|XXX)\b/, instead: 'doing it, or an issue' },
  { forbidden: /\bvi\.mock\(/, instead: 'an in-memory implementation of the port' },
]

test.each(RULES)('no $forbidden: use $instead', ({ forbidden, except }) => {
  const among = forbidden.source.includes('vi') ? sources : modules
  const found = among
    .filter((path) => !except?.test(path))
    .flatMap((path) =>
      read(path)
        .split('\n')
        .flatMap((line, at) =>
          forbidden.test(line.replace(/^\s*(\/\/|\*|\/\*).*/, '')) ? [`${path}:${at + 1}: ${line.trim()}`] : [],
        ),
    )
  expect(found).toEqual([])
})

test('there are sources to check', () => {
  expect(modules.length).toBeGreaterThan(50)
})

test(`no source is longer than ${FILE_LINES_MAX} lines: split it by noun`, () => {
  const long = sources.filter((path) => read(path).split('\n').length > FILE_LINES_MAX)
  expect(long).toEqual([])
})

test(`no tracked file is larger than ${FILE_BYTES_MAX / 1024} KiB, unless it is generated`, () => {
  const large = tracked.filter((path) => !LARGE_FILES.test(path) && statSync(join(home, path)).size > FILE_BYTES_MAX)
  expect(large).toEqual([])
})

test('every link between documents resolves', () => {
  const broken = tracked
    .filter((path) => path.endsWith('.md'))
    .flatMap((path) =>
      [...read(path).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)/g)]
        .map((match) => normalize(join(dirname(path), match[1] ?? '')))
        .filter((target) => !existsSync(join(home, target)))
        .map((target) => `${path} -> ${target}`),
    )
  expect(broken).toEqual([])
})

test('docs/LIMITS.md is current: run `node scripts/limits.ts`', () => {
  const limits = findLimits()
  expect(limits.length).toBeGreaterThan(50)
  expect(read('docs/LIMITS.md')).toBe(renderLimits(limits))
})

test('every limit says what it limits', () => {
  expect(findLimits().filter(({ meaning }) => meaning === '')).toEqual([])
})

test('every package of the workspace says what it is', () => {
  const unnamed = tracked
    .filter((path) => /^packages\/[^/]+\/package\.json$/.test(path))
    .filter((path) => !JSON.parse(read(path)).description)
  expect(unnamed).toEqual([])
})
