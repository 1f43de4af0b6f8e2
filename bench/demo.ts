/**
 * How long `emet demo` takes, and how much CPU time all of its processes use together. Beside it, in the same run, one
 * plain Node process renders the same picture with `node:wasi`: the ratio of the two CPU times says what the network, the
 * market, the sandbox and the chain cost on top of the work itself, and depends less on the machine than seconds do.
 *
 *     node bench/demo.ts [--runs 5] [--providers 3]        prints a table, and JSON as the last line
 *
 * One run before those that are counted fills the caches. Linux only: CPU times of ended processes are read from /proc.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const HOME = join(import.meta.dirname, '..')
const EXAMPLE = join(HOME, 'examples', 'path-tracer')
/** As the demo renders when nothing is said. */
const PICTURE = ['--width', '480', '--height', '320', '--samples', '16']
/** Linux counts CPU time of processes in hundredths of a second. */
const TICKS_PER_SECOND = 100

/** Renders the whole picture in one process, without any sandbox. Arguments: program, folder of the scene, its arguments. */
const PLAIN = `
import { readFileSync } from 'node:fs'
import { WASI } from 'node:wasi'
const [program, folder, out, ...args] = process.argv.slice(1)
const wasi = new WASI({ version: 'preview1', args: ['path-tracer', ...args], preopens: { '/in': folder, '/out': out } })
const { instance } = await WebAssembly.instantiate(readFileSync(program), wasi.getImportObject())
wasi.start(instance)
`

/** User and system time of all ended children, and of their ended children, in seconds. */
function childrenCpuSec(): number {
  // The fields after the name of the program, which is in parentheses and may hold anything: cutime and cstime.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND
}

type Measured = { readonly wallSec: number; readonly cpuSec: number; readonly phases: Record<string, number> }

/** Runs a program to its end. Each line of its standard error begins a phase. */
async function measure(program: string, args: readonly string[]): Promise<Measured> {
  const [startMs, startCpuSec] = [performance.now(), childrenCpuSec()]
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const lines: { text: string; atMs: number }[] = []
  createInterface(child.stderr).on('line', (text) => lines.push({ text, atMs: performance.now() }))
  const [code] = await once(child, 'close')
  const endMs = performance.now()
  if (code !== 0) throw new Error(`${program} has failed (${code}): ${lines.map(({ text }) => text).join(' | ')}`)
  const marks = [{ text: 'launching', atMs: startMs }, ...lines]
  const phases = marks.map(({ text, atMs }, at) => [text, ((marks[at + 1]?.atMs ?? endMs) - atMs) / 1000] as const)
  return {
    wallSec: (endMs - startMs) / 1000,
    cpuSec: childrenCpuSec() - startCpuSec,
    phases: Object.fromEntries(phases),
  }
}

const runDemo = (providers: number, folder: string) =>
  measure(join(HOME, 'emet'), ['demo', '--providers', String(providers), '--out', join(folder, 'picture.png')])

function runPlain(folder: string): Promise<Measured> {
  const program = [join(EXAMPLE, 'path-tracer.wasm'), join(EXAMPLE, 'scenes'), folder]
  const args = ['--scene', '/in/default.txt', ...PICTURE, '--out', '/out/picture.rgb', '--raw', '--quiet']
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', PLAIN]
  return measure(process.execPath, [...flags, ...program, ...args])
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** The demo and the plain process take turns, so that a busy machine slows both. */
async function compare(runs: number, providers: number, folder: string) {
  await runDemo(providers, folder)
  const demos: Measured[] = []
  const plains: Measured[] = []
  for (let run = 0; run < runs; run += 1) {
    plains.push(await runPlain(folder))
    demos.push(await runDemo(providers, folder))
  }
  const names = Object.keys(demos[0]?.phases ?? {})
  const phase = (name: string) => [name, median(demos.map(({ phases }) => phases[name] ?? 0))] as const
  const of = (measured: readonly Measured[], key: 'wallSec' | 'cpuSec') => median(measured.map((one) => one[key]))
  return {
    ...{ bench: 'demo', runs, providers, cores: availableParallelism(), node: process.version },
    demo: {
      wallSec: of(demos, 'wallSec'),
      cpuSec: of(demos, 'cpuSec'),
      phaseSec: Object.fromEntries(names.map(phase)),
    },
    plain: { wallSec: of(plains, 'wallSec'), cpuSec: of(plains, 'cpuSec') },
    cpuRatio: median(demos.map(({ cpuSec }, at) => cpuSec / (plains[at]?.cpuSec || Number.NaN))),
  }
}

const { values } = parseArgs({ options: { runs: { type: 'string' }, providers: { type: 'string' } } })
const folder = mkdtempSync(join(tmpdir(), 'emet-bench-'))
const [loadBefore = 0] = loadavg()
try {
  const result = { ...(await compare(Number(values.runs ?? 5), Number(values.providers ?? 3), folder)), loadBefore }
  const { demo, plain } = result
  const row = (name: string, ...seconds: number[]) =>
    console.log(name.padEnd(40), ...seconds.map((one) => one.toFixed(2).padStart(8)))
  console.log('medians, in seconds'.padEnd(40), '    wall', '     CPU')
  row('emet demo', demo.wallSec, demo.cpuSec)
  for (const [name, seconds] of Object.entries(demo.phaseSec)) row(`  ${name}`, seconds)
  row('the same picture by one plain process', plain.wallSec, plain.cpuSec)
  console.log(`CPU of the demo / CPU of the plain process: ${result.cpuRatio.toFixed(1)}; load before: ${loadBefore}`)
  console.log(JSON.stringify(result))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
