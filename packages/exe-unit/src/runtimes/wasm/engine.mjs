/**
 * The program inside the jail: one WebAssembly module, run once. Plain JavaScript, as stripping types would add 50 ms to
 * each start; nothing else of Emet is in the jail.
 *
 *     argument     {"modules":{"main":"/app/0.wasm"},"warm":["main"]}   compiled and checked before the first report
 *     descriptor 3 one line in:   {"entry":"main","args":["main","-v"],"env":{},"folders":{"/":"/vol/0"}}; its end: give up
 *     descriptor 4 lines out:     {"ready":true} | {"invalid":{"entry","message"}}, then {"exit":0} | {"trap":"message"}
 *     0, 1, 2      the guest's own
 */
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs'
import { WASI } from 'node:wasi'

const ORDERS = 3
const REPORTS = 4
const NAMESPACES = ['wasi_snapshot_preview1', 'wasi_unstable']
/** The functions of WASI; both versions have the same. */
const KNOWN = new Set(Object.keys(new WASI({ version: 'preview1' }).wasiImport))

const report = (line) => writeSync(REPORTS, `${JSON.stringify(line)}\n`)
const { modules, warm } = JSON.parse(process.argv[2] ?? '{}')
const compiled = new Map()

function compile(entry) {
  const known = compiled.get(entry)
  if (known) return known
  const module = new WebAssembly.Module(readFileSync(modules[entry]))
  const foreign = WebAssembly.Module.imports(module).find(
    ({ module: space, name, kind }) => !NAMESPACES.includes(space) || kind !== 'function' || !KNOWN.has(name),
  )
  if (foreign) throw new Error(`it imports ${foreign.module}.${foreign.name}, which is no part of WASI preview 1`)
  const exported = WebAssembly.Module.exports(module).map(({ kind, name }) => `${kind} ${name}`)
  if (!exported.includes('function _start')) throw new Error('it has no function _start: not a WASI command')
  if (!exported.includes('memory memory')) throw new Error('it does not export its memory')
  compiled.set(entry, module)
  return module
}

function readLine(descriptor) {
  const buffer = Buffer.alloc(65_536)
  const chunks = []
  for (;;) {
    const count = readSync(descriptor, buffer)
    if (count === 0) return undefined
    chunks.push(Buffer.from(buffer.subarray(0, count)))
    if (buffer[count - 1] === 10) return Buffer.concat(chunks).toString('utf8')
  }
}

function execute({ entry, args, env, folders }) {
  const module = compile(entry)
  const isOld = WebAssembly.Module.imports(module).some((wanted) => wanted.module === 'wasi_unstable')
  const version = isOld ? 'unstable' : 'preview1'
  const wasi = new WASI({ version, args, env, preopens: folders, returnOnExit: true })
  return wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()))
}

for (const entry of warm) {
  try {
    compile(entry)
  } catch (error) {
    report({ invalid: { entry, message: error.message } })
    process.exit(0)
  }
}
report({ ready: true })
const line = readLine(ORDERS)
if (line !== undefined) {
  closeSync(ORDERS)
  try {
    report({ exit: execute(JSON.parse(line)) })
  } catch (error) {
    report({ trap: String(error?.message ?? error) })
  }
}
process.exit(0)
