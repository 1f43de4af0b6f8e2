/** `emet demo`: the main job from end to end on real parts. Written with the SDK and nothing else of Emet's inside. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, type MapResult, type Rental } from '@emet/sdk'
import { encode } from 'fast-png'
import type { Action, CommandContext } from '../commands/context.ts'
import { CliError } from '../errors.ts'
import { readBalances } from '../network/balances.ts'
import { type LocalNetwork, startLocalNetwork } from '../network/local-network.ts'
import { jsonWithIntegers } from '../output.ts'
import { findDiscrepancies, formatAccount, type ProviderAccount } from './account.ts'
import { createBoard } from './board.ts'
import { createProgress, type Progress } from './progress.ts'
import { cutTiles, placeTile, type Tile } from './tiles.ts'

const EXAMPLE = fileURLToPath(new URL('../../../../examples/path-tracer/', import.meta.url))
const PROGRAM = join(EXAMPLE, 'path-tracer.wasm')
const DEFAULT_SCENE = join(EXAMPLE, 'scenes', 'default.txt')
const TILE_SIZE = 160
const BUDGET_GLM = '1'
/** Providers of one demo: each is two processes. */
const PROVIDERS_MAX = 50
/** Width and height of the picture. */
const PIXELS_MAX = 16_384
const CHANNELS = 3

type Job = {
  readonly scene: string
  readonly width: number
  readonly height: number
  readonly samples: number
  readonly providers: number
  readonly image: string
}

export const demo: Action = async (context, _args, flags) => {
  const startedMs = performance.now()
  const job = readJob(flags)
  const progress = createProgress(process.stderr)
  const dir = mkdtempSync(join(tmpdir(), 'emet-demo-'))
  let network: LocalNetwork | undefined
  try {
    const mainFile = fileURLToPath(new URL('../main.ts', import.meta.url))
    const { signal } = context
    const started = { dir, providers: job.providers, mainFile, onProgress: progress.step, signal }
    network = await startLocalNetwork(started)
    const addresses = [network.requestor.nodeId, ...network.providers.map(({ nodeId }) => nodeId)]
    const before = await readBalances(network.chain, addresses)
    const accounts = await Promise.race([render(network, job, progress, signal), network.failure, aborted(signal)])
    const after = await readBalances(network.chain, addresses)
    const wrong = findDiscrepancies(accounts, network.requestor.nodeId, before, after)
    report(context, job, accounts, (performance.now() - startedMs) / 1000, { before, after })
    if (wrong.length > 0) throw new CliError('child-failed', `the account does not add up: ${wrong.join('; ')}`)
    if (flags['keep'] === true) await keep(context, network, dir)
  } finally {
    progress.done()
    await network?.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Rejects when the user interrupts: the network goes at once, its rentals with it, instead of one after the other. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function readJob(flags: Readonly<Record<string, unknown>>): Job {
  const number = (name: string, fallback: number, max: number) => {
    const value = flags[name] === undefined ? fallback : Number(flags[name])
    if (Number.isInteger(value) && value >= 1 && value <= max) return value
    throw new CliError('bad-argument', `--${name} is ${JSON.stringify(flags[name])}: a whole number from 1 to ${max}`)
  }
  const scene = resolve(String(flags['scene'] ?? DEFAULT_SCENE))
  try {
    readFileSync(scene)
  } catch (cause) {
    throw new CliError('bad-argument', `the scene ${scene} cannot be read`, {}, { cause })
  }
  return {
    scene,
    width: number('width', 480, PIXELS_MAX),
    height: number('height', 320, PIXELS_MAX),
    samples: number('samples', 16, 100_000),
    providers: number('providers', 3, PROVIDERS_MAX),
    image: resolve(String(flags['out'] ?? 'emet-demo.png')),
  }
}

/** Rents all providers, renders, writes the picture, and waits until everything is paid. */
async function render(
  network: LocalNetwork,
  job: Job,
  progress: Progress,
  signal: AbortSignal,
): Promise<ProviderAccount[]> {
  const { apiUrl, appKey } = network.requestor
  await using session = await connect({ url: apiUrl, appKey, signal })
  const tiles = cutTiles(job.width, job.height, TILE_SIZE)
  const picture = new Uint8Array(job.width * job.height * CHANNELS)
  const done: MapResult<Tile, Uint8Array>[] = []
  const board = createBoard(Object.fromEntries(network.providers.map(({ nodeId, name }) => [nodeId, name])))
  const stopShowing = session.on((event) => {
    board.note(event)
    progress.update(board.line(done.length, tiles.length))
  })
  progress.step(`renting ${job.providers} providers for ${tiles.length} tiles`)
  const work = session.map(
    tiles,
    (tile, machine) => renderTile(machine, tile, job),
    { payload: { path: PROGRAM } },
    { machines: job.providers, budget: { max: BUDGET_GLM }, signal },
  )
  for await (const result of work) {
    placeTile(picture, job.width, result.item, result.value)
    done.push(result)
    progress.update(board.line(done.length, tiles.length))
  }
  stopShowing()
  writeFileSync(job.image, encode({ width: job.width, height: job.height, data: picture, channels: CHANNELS }))
  progress.step('settling')
  const receipts = await Promise.all(work.rentals.map((rental) => rental.settled({ signal })))
  const inOrder = receipts.sort((a, b) => a.providerName.localeCompare(b.providerName, 'en', { numeric: true }))
  return inOrder.map((receipt) => ({
    nodeId: receipt.providerId,
    name: receipt.providerName,
    tiles: done.filter(({ providerId }) => providerId === receipt.providerId).length,
    seconds: receipt.seconds,
    usage: receipt.usage,
    agreed: receipt.agreed,
    paid: receipt.paid,
    transaction: receipt.transactions[0],
  }))
}

const prepared = new WeakMap<Rental, Promise<void>>()

/** The scene goes to each machine once; then each tile is one run of the program and one fetched file. */
async function renderTile(machine: Rental, { x0, y0, x1, y1 }: Tile, job: Job): Promise<Uint8Array> {
  let ready = prepared.get(machine)
  if (!ready) {
    ready = machine.put({ path: job.scene }, '/input/scene.txt')
    prepared.set(machine, ready)
  }
  await ready
  const size = ['--width', String(job.width), '--height', String(job.height), '--samples', String(job.samples)]
  const out = `/output/${x0}-${y0}.rgb`
  await machine.run('main', [
    ...['--scene', '/input/scene.txt', ...size, '--tile', [x0, y0, x1, y1].join(',')],
    ...['--out', out, '--raw', '--quiet'],
  ])
  return machine.get(out)
}

type Chain = { readonly before: Record<string, bigint>; readonly after: Record<string, bigint> }

function report(
  { output }: CommandContext,
  job: Job,
  accounts: ProviderAccount[],
  wallSeconds: number,
  chain: Chain,
): void {
  if (output.isJson) {
    const providers = accounts.map(({ nodeId, tiles, seconds, agreed, paid, transaction }) => {
      return { nodeId, tiles, seconds, agreed, paid, transaction }
    })
    output.line(jsonWithIntegers({ image: job.image, wallSeconds, providers, chain }))
    return
  }
  output.line('')
  output.line(formatAccount(accounts))
  output.line('')
  output.line(`the sums agree with the balances on the chain`)
  output.line(`picture: ${job.image}  (${job.width}x${job.height}, ${wallSeconds.toFixed(1)} s in all)`)
}

/** Leaves the network running until Ctrl-C. */
async function keep({ signal }: CommandContext, network: LocalNetwork, dir: string): Promise<void> {
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  say('\nthe network is running; Ctrl-C ends it. In another terminal:')
  say(`  export EMET_API_URL=${network.requestor.apiUrl} EMET_APPKEY=${network.requestor.appKey}`)
  say(`  ${join(process.env['EMET_HOME'] ?? '.', 'emet')} status`)
  say(`logs: ${join(dir, 'log')}`)
  const { promise, resolve: end } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => end(), { once: true })
  const alive = setInterval(() => {}, 1_000_000)
  await Promise.race([promise, network.failure]).finally(() => clearInterval(alive))
}
