/**
 * The engine for machines without bubblewrap, when the provider allows it: as `engine.mjs`, with the same orders and
 * reports, but the guest's files are a copy in memory. There is no way from it to a file of the host: volumes are read
 * before the run and written back after it, by this program, without following links.
 */
import {
  closeSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { wasi as abi, Directory, Fd, File, PreopenDirectory, WASI } from '@bjorn3/browser_wasi_shim'

const ORDERS = 3
const REPORTS = 4
/** Files of all volumes together: what a copy in memory may hold. */
const FILES_BYTES_MAX = 256 * 1024 * 1024

const report = (line) => writeSync(REPORTS, `${JSON.stringify(line)}\n`)
const { modules, warm } = JSON.parse(process.argv[2] ?? '{}')
const compiled = new Map()
const NAMESPACE = 'wasi_snapshot_preview1'
const KNOWN = new Set(Object.keys(new WASI([], [], []).wasiImport))

function compile(entry) {
  const known = compiled.get(entry)
  if (known) return known
  const module = new WebAssembly.Module(readFileSync(modules[entry]))
  const foreign = WebAssembly.Module.imports(module).find(
    ({ module: space, name, kind }) => space !== NAMESPACE || kind !== 'function' || !KNOWN.has(name),
  )
  if (foreign) throw new Error(`it imports ${foreign.module}.${foreign.name}, which the in-memory engine does not have`)
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

/** One of the guest's three streams. */
class Stream extends Fd {
  constructor(descriptor) {
    super()
    this.descriptor = descriptor
  }
  fd_fdstat_get() {
    return { ret: 0, fdstat: new abi.Fdstat(abi.FILETYPE_CHARACTER_DEVICE, 0) }
  }
  fd_read(size) {
    const buffer = new Uint8Array(size)
    return { ret: 0, data: buffer.subarray(0, readSync(this.descriptor, buffer)) }
  }
  fd_write(data) {
    for (let at = 0; at < data.length; ) at += writeSync(this.descriptor, data, at)
    return { ret: 0, nwritten: data.length }
  }
}

let bytesLeft = FILES_BYTES_MAX
function load(folder) {
  const entries = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return [[entry.name, new Directory(load(path))]]
    if (!entry.isFile()) return []
    bytesLeft -= lstatSync(path).size
    if (bytesLeft < 0) throw new Error(`the volumes hold more than ${FILES_BYTES_MAX} bytes, too much for memory`)
    const file = new File(readFileSync(path))
    return [[entry.name, file]]
  })
  return new Map(entries)
}

function save(folder, contents) {
  for (const name of readdirSync(folder)) if (!contents.has(name)) rmSync(join(folder, name), { recursive: true })
  for (const [name, entry] of contents) {
    if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) continue
    const path = join(folder, name)
    const before = lstatSync(path, { throwIfNoEntry: false })
    if (entry instanceof Directory) {
      if (before && !before.isDirectory()) rmSync(path)
      mkdirSync(path, { recursive: true })
      save(path, entry.contents)
    } else {
      if (before && !before.isFile()) rmSync(path, { recursive: true })
      writeFileSync(path, entry.data)
    }
  }
}

function execute({ entry, args, env, folders }) {
  const module = compile(entry)
  const volumes = Object.entries(folders).map(([path, folder]) => ({
    folder,
    files: new PreopenDirectory(path, load(folder)),
  }))
  const streams = [new Stream(0), new Stream(1), new Stream(2)]
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const wasi = new WASI(args, variables, [...streams, ...volumes.map(({ files }) => files)], { debug: false })
  try {
    return wasi.start(new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport }))
  } finally {
    for (const { folder, files } of volumes) save(folder, files.dir.contents)
  }
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
