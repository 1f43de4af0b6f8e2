/**
 * How fast a file moves between a requestor's disk and an exe-unit's folder. Real processes on loopback: a requestor's
 * daemon, a provider's daemon, and an exe-unit's transfers attached to the latter's bus socket; as the physical limit, the
 * same bytes through one plain TCP connection between two processes.
 *
 *     node bench/transfer.ts [--mb 256] [--runs 5]        prints a table, and JSON as the last line
 *
 * Publishing (which hashes the file once) is measured by itself. Transfers include the check of the hash.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createClient } from '@emet/api'
import { connectBus } from '@emet/bus/socket'
import { type Logger, silentLogger, systemClock, systemRandom } from '@emet/core'
import { createTransfers } from '@emet/exe-unit'
import { startNode } from '@emet/node'

const PIECE_BYTES = 256 * 1024
/** A transfer that breaks and goes on is no measurement of anything: it must be seen. */
const logger: Logger = {
  ...silentLogger,
  warn: (message, fields) => console.error(message, fields),
  error: (message, fields) => console.error(message, fields),
}
const ports = { clock: systemClock, random: systemRandom, logger }

type Reply = Record<string, string | number>
type Role = (given: Record<string, string>) => Promise<(request: Record<string, string>) => Promise<Reply>>

const daemon: Role = async ({ dataDir = '', bootstrap }) => {
  const node = await startNode(
    { ...ports, version: 'bench', requestShutdown: () => {} },
    {
      dataDir,
      net: { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: bootstrap ? [bootstrap] : [] },
      rest: { host: '127.0.0.1', port: 0 },
    },
  )
  const { apiUrl, busUrl, cliAppKey, endpoints } = node
  return async () => ({ apiUrl, busUrl, appKey: cliAppKey, endpoint: endpoints[0] ?? '' })
}

const exeUnit: Role = async ({ busUrl = '', folder = '' }) => {
  await mkdir(join(folder, 'work'), { recursive: true })
  const bus = await connectBus(ports, { url: busUrl })
  const transfers = createTransfers({ ...ports, bus }, { cacheDir: join(folder, 'cache'), allowPrivateHosts: false })
  const volumes = [{ path: '/', hostFolder: join(folder, 'work') }]
  return async ({ from, to }) => {
    if (!from || !to) return {}
    const signal = new AbortController().signal
    await transfers.transfer({ from, to }, { volumes, signal, onProgress: () => {} })
    return {}
  }
}

const tcpSource: Role = async ({ bytes }) => {
  const server = createServer(async (socket) => {
    const piece = Buffer.alloc(PIECE_BYTES, 1)
    for (let left = Number(bytes); left > 0; left -= PIECE_BYTES) {
      if (!socket.write(piece)) await once(socket, 'drain')
    }
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return async () => ({ port: (server.address() as AddressInfo).port })
}

const ROLES: Readonly<Record<string, Role>> = { daemon, exeUnit, tcpSource }

/** A child: its role's replies, with the CPU time and memory it has used. */
async function serve(role: Role, given: Record<string, string>): Promise<void> {
  const answer = await role(given)
  process.on('message', (request: Record<string, string>) => {
    answer(request).then(
      (reply) => {
        const { user, system } = process.cpuUsage()
        process.send?.({ ...reply, cpuSec: (user + system) / 1e6, peakMb: process.resourceUsage().maxRSS / 1024 })
      },
      (error: unknown) => process.send?.({ error: String(error) }),
    )
  })
  process.once('disconnect', () => process.exit())
  process.send?.({})
}

const children: ChildProcess[] = []

async function start(role: string, given: Record<string, string>) {
  // `EMET_BENCH_PROFILE=<folder>` writes a CPU profile of each process.
  const profile = process.env['EMET_BENCH_PROFILE']
  const execArgv = profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}/${role}`] : []
  const child = fork(import.meta.filename, [role, JSON.stringify(given)], { execArgv })
  children.push(child)
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the ${role} has ended`)))
  ended.catch(() => {})
  const next = async (): Promise<Reply> => {
    const [reply] = (await Promise.race([once(child, 'message'), ended])) as [Reply]
    if (reply['error']) throw new Error(`${role}: ${reply['error']}`)
    return reply
  }
  await next()
  return (request: Record<string, string> = {}) => {
    const reply = next()
    child.send(request)
    return reply
  }
}

async function writeRandom(path: string, bytes: number): Promise<void> {
  const file = createWriteStream(path)
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    if (!file.write(systemRandom.bytes(Math.min(left, PIECE_BYTES)))) await once(file, 'drain')
  }
  file.end()
  await once(file, 'close')
}

async function receive(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.resume()
  await once(socket, 'close')
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

async function measure(mb: number, runs: number, folder: string) {
  const bytes = mb * 2 ** 20
  const rate = async (work: () => Promise<unknown>) => {
    const startMs = performance.now()
    await work()
    return bytes / 1e3 / (performance.now() - startMs)
  }
  const tcp = await start('tcpSource', { bytes: String(bytes) })
  const requestor = await start('daemon', { dataDir: join(folder, 'requestor') })
  const { apiUrl, appKey, endpoint } = await requestor()
  const provider = await start('daemon', { dataDir: join(folder, 'provider'), bootstrap: String(endpoint) })
  const { busUrl } = await provider()
  const unit = await start('exeUnit', { busUrl: String(busUrl), folder: join(folder, 'unit') })
  const { files } = createClient({ url: String(apiUrl), appKey: String(appKey) }).emet
  const rates: Record<'tcp' | 'publish' | 'in' | 'out', number[]> = { tcp: [], publish: [], in: [], out: [] }
  const cpuSec: Record<'in' | 'out', number[][]> = { in: [], out: [] }
  const usedSec = async () =>
    Promise.all([requestor(), provider(), unit()].map(async (reply) => Number((await reply)['cpuSec'])))
  const transfer = async (way: 'in' | 'out', from: string, to: string) => {
    const before = await usedSec()
    rates[way].push(await rate(() => unit({ from, to })))
    const after = await usedSec()
    cpuSec[way].push(after.map((sec, at) => ((sec - (before[at] ?? 0)) / bytes) * 1e9))
  }
  const { port } = await tcp()

  for (let run = 0; run < runs; run++) {
    const [source, target] = [join(folder, 'source'), join(folder, 'target')]
    await writeRandom(source, bytes)
    rates.tcp.push(await rate(() => receive(Number(port))))
    let url = ''
    rates.publish.push(
      await rate(async () => {
        url = (await files.publish({ body: { path: source } })).url
      }),
    )
    await transfer('in', url, 'container:/file')
    const slot = await files.receive({ body: { path: target } })
    await transfer('out', 'container:/file', slot.url)
    for (const used of [url, slot.url]) await files.close({ query: { url: used } })
    await Promise.all([source, target].map((path) => rm(path)))
  }
  const usage = { requestor: await requestor(), provider: await provider() }
  /** CPU seconds per GB: requestor's daemon, provider's daemon, exe-unit. Load on the machine changes these less. */
  const cpuSecPerGb = Object.fromEntries(
    Object.entries(cpuSec).map(([way, all]) => [way, [0, 1, 2].map((at) => median(all.map((sec) => sec[at] ?? 0)))]),
  )
  return { mb, runs, cores: availableParallelism(), load: loadavg()[0], rates, cpuSecPerGb, usage }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { mb: { type: 'string', default: '256' }, runs: { type: 'string', default: '5' } },
  })
  const folder = await mkdtemp(join(tmpdir(), 'emet-bench-'))
  try {
    const { rates, usage, ...setting } = await measure(Number(values.mb), Number(values.runs), folder)
    const limit = median(rates.tcp)
    const rows = Object.entries(rates).map(([name, all]) => ({
      what: name,
      'MB/s (median)': Math.round(median(all)),
      min: Math.round(Math.min(...all)),
      max: Math.round(Math.max(...all)),
      'of plain TCP': `${((100 * median(all)) / limit).toFixed(1)} %`,
    }))
    console.table(rows)
    console.table(setting.cpuSecPerGb)
    const peak = (reply: Reply) => Math.round(Number(reply['peakMb']))
    const peakMb = { requestor: peak(usage.requestor), provider: peak(usage.provider) }
    console.log(JSON.stringify({ bench: 'transfer', node: process.version, ...setting, rates, peakMb }))
  } finally {
    for (const child of children) child.disconnect()
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')))
    await rm(folder, { recursive: true, force: true })
  }
}

const [, , name = '', given = '{}'] = process.argv
const role = ROLES[name]
await (role ? serve(role, JSON.parse(given)) : main())
