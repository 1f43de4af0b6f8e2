import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const STARTUP = fileURLToPath(new URL('./startup.ts', import.meta.url))

let home: string
beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'startup test-')))
  write('node_modules/.package-lock.json', '{}')
  write('node_modules/lib/package.json', '{"name":"lib","type":"module","exports":"./a.js"}')
  write('node_modules/lib/a.js', "export { word } from './b.js'\n")
  write('node_modules/lib/b.js', "export const word = 'first'\n")
  write('packages/own/package.json', '{"type":"module"}')
  write('packages/own/src/word.ts', "export { word } from 'lib'\n")
  write('packages/own/src/main.ts', MAIN)
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const MAIN = `
import { rememberResolutions } from ${JSON.stringify(pathToFileURL(STARTUP).href)}
rememberResolutions(new URL('../../../', import.meta.url))
const { word } = await import('./word.ts')
console.log(word as string)
`
const FILE = 'node_modules/.cache/emet/resolutions.json'

function write(path: string, text: string): void {
  mkdirSync(dirname(join(home, path)), { recursive: true })
  writeFileSync(join(home, path), text)
}

/** Runs the program of the workspace in a process of its own, as hooks are of a whole process. */
function run(): string {
  return execFileSync(process.execPath, [join(home, 'packages/own/src/main.ts')], {
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim()
}

const kept = () => JSON.parse(readFileSync(join(home, FILE), 'utf8')).resolutions

/** As an installation does. */
function touchLock(): void {
  const later = new Date('2040-01-01')
  utimesSync(join(home, 'node_modules/.package-lock.json'), later, later)
}

test('a process writes down how packages were found, with places that hold when the workspace is moved', () => {
  expect(run()).toBe('first')
  expect(kept()).toEqual({
    'packages/own/src/word.ts': { lib: ['node_modules/lib/a.js', 'module'] },
    'node_modules/lib/a.js': { './b.js': ['node_modules/lib/b.js', 'module'] },
  })
})

test('the next process uses what was written, and reads the modules themselves again', () => {
  run()
  write('node_modules/lib/package.json', '{"name":"lib","type":"module","exports":"./missing.js"}')
  write('node_modules/lib/b.js', "export const word = 'second'\n")
  expect(run()).toBe('second')
})

test('after an installation everything is asked again', () => {
  run()
  write('node_modules/lib/package.json', '{"name":"lib","type":"module","exports":"./c.js"}')
  write('node_modules/lib/c.js', "export const word = 'third'\n")
  touchLock()
  expect(run()).toBe('third')
  expect(Object.keys(kept())).toEqual(['packages/own/src/word.ts'])
})

test.each(['', 'not JSON', 'null', '{"stamp":1}', '{"resolutions":[]}'])('a damaged file %j is passed over', (text) => {
  run()
  write(FILE, text)
  expect(run()).toBe('first')
  expect(Object.keys(kept())).toHaveLength(2)
})

test('a name that leads nowhere fails as without the memory', () => {
  write('packages/own/src/word.ts', "export { word } from './gone.ts'\n")
  expect(run).toThrow(/ERR_MODULE_NOT_FOUND/)
})

test('where nothing was installed by npm nothing is written', () => {
  rmSync(join(home, 'node_modules/.package-lock.json'))
  expect(run()).toBe('first')
  expect(() => kept()).toThrow(/ENOENT/)
})
