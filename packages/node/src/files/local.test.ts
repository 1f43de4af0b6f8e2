import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type Bus, type BusCall, createBus, ReplyError } from '@emet/bus'
import { type AttachedBus, connectBus, createBusServer } from '@emet/bus/socket'
import { type NodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { createNet, type Net, type NetIdentity, type Transport } from '@emet/net'
import { createLibp2pTransport } from '@emet/net/libp2p'
import { createMemoryNetwork } from '@emet/net/memory'
import { createTestIdentity } from '@emet/net/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../store/index.ts'
import { createFiles, type Files } from './index.ts'
import { LOCAL_READ, LOCAL_WRITE } from './local.ts'
import { parseFileUrl } from './url.ts'

const MIB = 1024 * 1024
/** What may be under way to a process that does not read: the bus window of 64 pieces, and what streams and sockets hold. */
const AHEAD_BYTES_MAX = 16 * MIB + 8 * MIB

const ports = { clock: systemClock, random: systemRandom, logger: silentLogger }
const sha3 = (bytes: Uint8Array) => createHash('sha3-256').update(bytes).digest('hex')
const someBytes = (length: number) => Buffer.alloc(length).map((_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff)

type Node = { id: NodeId; bus: Bus; net: Net; files: Files }
type MakeTransport = (identity: NetIdentity) => Transport

const memory = (): MakeTransport => {
  const network = createMemoryNetwork({ clock: systemClock, random: systemRandom })
  return (identity) => network.createTransport(identity)
}
const libp2p = (): MakeTransport => (identity) =>
  createLibp2pTransport({ identity, ...ports }, { listen: ['/ip4/127.0.0.1/tcp/0'] })

let root: string
const undo: (() => Promise<unknown> | unknown)[] = []

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'emet-local-'))
})
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
  await rm(root, { recursive: true, force: true })
})

async function startNode(seed: string, makeTransport: MakeTransport, bulk = true): Promise<Node> {
  const identity = createTestIdentity(seed)
  const bus = createBus(ports)
  const net = createNet({ ...ports, transports: [makeTransport(identity)], bus, identity })
  await net.start()
  const db = openDatabase({ path: ':memory:' })
  const files = createFiles({ ...ports, bus, db, net: bulk ? net : undefined }, { folder: join(root, seed) })
  await files.start()
  undo.push(
    () => net.stop(),
    () => files.stop(),
  )
  return { id: identity.defaultId, bus, net, files }
}

/** A node `far` that has or takes files, a node `near`, and a process attached to the latter. */
async function setUp(makeTransport = memory(), bulk = true) {
  const far = await startNode('far', makeTransport, bulk)
  const near = await startNode('near', makeTransport)
  const [endpoint] = far.net.status().endpoints
  if (endpoint) await near.net.connect(endpoint)
  const server = createBusServer({ bus: near.bus, ...ports }, { url: `unix:${join(root, 'bus.sock')}` })
  await server.start()
  const bus = await connectBus(ports, { url: server.url })
  undo.push(
    () => server.stop(),
    () => bus.close(),
  )
  return { far, near, bus }
}

async function publish({ files, id }: Node, bytes: Uint8Array): Promise<string> {
  const path = join(root, 'source')
  await writeFile(path, bytes)
  return (await files.publish(id, path, {})).url
}
async function read(bus: Bus, url: string, offset = 0) {
  const pieces: Uint8Array[] = []
  let end: unknown
  for await (const item of bus.stream(LOCAL_READ, { url, offset })) {
    if (item instanceof Uint8Array) pieces.push(item)
    else end = item
  }
  return { bytes: Buffer.concat(pieces), end, largest: Math.max(0, ...pieces.map(({ length }) => length)) }
}
const dataOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => (error instanceof ReplyError ? error.data : error),
  )
/** Waits until `value` has not changed for many turns of the event loop. */
async function settled(value: () => number): Promise<number> {
  let last = value()
  for (let quiet = 0; quiet < 300; quiet++) {
    await turn()
    if (value() !== last) quiet = 0
    last = value()
  }
  return last
}
/** Serves bytes to the daemon as an exe-unit does; `asked` are the offsets it wanted. */
function serveBytes(bus: AttachedBus, bytes: Uint8Array, piece = 100_000) {
  const asked: number[] = []
  const from = '/local/transfer/test/Read'
  const unbind = bus.bind(from, async function* (call: BusCall) {
    const { offset } = call.body.value() as { offset: number }
    asked.push(offset)
    for (let at = offset; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece)
  })
  return { from, asked, unbind }
}
async function write(bus: Bus, url: string, from: string): Promise<unknown> {
  let last: unknown
  for await (const item of bus.stream(LOCAL_WRITE, { url, from })) last = item
  return last
}
const finish = (node: Node, url: string, bytes: Uint8Array) =>
  node.bus.call(`/public/gftp/${parseFileUrl(url).name}/UploadFinished`, { hash: sha3(bytes) })

describe.each([
  ['memory', memory],
  ['libp2p on loopback', libp2p],
])('files for a process, over %s', (_, transport) => {
  it('come whole, in pieces, and from any offset', async () => {
    const { far, bus } = await setUp(transport())
    const bytes = someBytes(3_000_000)
    const url = await publish(far, bytes)
    const whole = await read(bus, url)
    expect(whole.bytes.equals(bytes)).toBe(true)
    expect(whole.end).toEqual({ sizeBytes: 3_000_000 })
    expect(whole.largest).toBeLessThanOrEqual(256 * 1024)
    expect((await read(bus, url, 2_999_000)).bytes.equals(bytes.subarray(2_999_000))).toBe(true)
    expect(await read(bus, url, 3_000_000)).toMatchObject({ end: { sizeBytes: 3_000_000 }, largest: 0 })
  })
  it('go to another node, which can be asked to go on', async () => {
    const { far, bus } = await setUp(transport())
    const bytes = someBytes(3_000_000)
    const target = join(root, 'target')
    const url = await far.files.receive(far.id, target)
    const { name } = parseFileUrl(url)
    const chunk = { offset: 0, content: bytes.subarray(0, 100_000) }
    await far.bus.call(`/public/gftp/${name}/UploadChunk`, { chunk })
    const { from, asked } = serveBytes(bus, bytes)
    expect(await write(bus, url, from)).toEqual({ sentBytes: 3_000_000 })
    expect(asked).toEqual([100_000])
    await finish(far, url, bytes)
    expect((await readFile(target)).equals(bytes)).toBe(true)
  })
  it('wait for a process that reads slowly, with bounded buffers, and lose nothing', { timeout: 60_000 }, async () => {
    const { far, bus } = await setUp(transport())
    const size = 256 * MIB
    const path = join(root, 'large')
    await writeFile(path, '')
    await truncate(path, size)
    const { url } = await far.files.publish(far.id, path, {})
    const sent = () => far.files.list(far.id)[0]?.transferredBytes ?? 0
    let used = 0
    let aheadMax = 0
    for await (const item of bus.stream(LOCAL_READ, { url, offset: 0 })) {
      if (!(item instanceof Uint8Array)) break
      used += item.length
      if (used === item.length) {
        // It stops reading for long enough that everything which can move has moved.
        expect(await settled(sent)).toBeGreaterThan(used)
      }
      aheadMax = Math.max(aheadMax, sent() - used)
    }
    expect(used).toBe(size)
    expect(aheadMax).toBeLessThan(AHEAD_BYTES_MAX)
  })
  it('stop when the process stops listening', async () => {
    const { far, bus } = await setUp(transport())
    const path = join(root, 'large')
    await writeFile(path, '')
    await truncate(path, 64 * MIB)
    const { url } = await far.files.publish(far.id, path, {})
    for await (const _item of bus.stream(LOCAL_READ, { url, offset: 0 })) break
    const sent = await settled(() => far.files.list(far.id)[0]?.transferredBytes ?? 0)
    expect(sent).toBeLessThan(AHEAD_BYTES_MAX)
    expect((await read(bus, await publish(far, someBytes(10)))).bytes).toHaveLength(10)
  })
})

describe('files for a process', () => {
  it('come by messages from a node without bulk streams, and go to it', async () => {
    const { far, bus } = await setUp(memory(), false)
    const bytes = someBytes(300_000)
    expect((await read(bus, await publish(far, bytes), 100_000)).bytes.equals(bytes.subarray(100_000))).toBe(true)
    const target = join(root, 'target')
    const url = await far.files.receive(far.id, target)
    const { from, asked } = serveBytes(bus, bytes)
    await write(bus, url, from)
    expect(asked).toEqual([0])
    await finish(far, url, bytes)
    expect((await readFile(target)).equals(bytes)).toBe(true)
  })
  it('come by messages when a client of the other node serves them', async () => {
    const { far, bus } = await setUp()
    const bytes = someBytes(50_000)
    const name = sha3(bytes)
    far.bus.bind(`/public/gftp/${name}/GetMetadata`, async () => ({ fileSize: bytes.length }))
    far.bus.bind(`/public/gftp/${name}/GetChunk`, async ({ body }) => {
      const { offset, size } = body.value() as { offset: number; size: number }
      return { offset, content: bytes.subarray(offset, offset + size) }
    })
    expect((await read(bus, `gftp://${far.id}/${name}`)).bytes.equals(bytes)).toBe(true)
  })
  it('say what is wrong', async () => {
    const { far, bus } = await setUp()
    const url = await publish(far, someBytes(100))
    const unknown = `gftp://${far.id}/${'0'.repeat(64)}`
    expect(await dataOf(read(bus, unknown))).toMatchObject({ code: 'not-found' })
    expect(await dataOf(read(bus, 'gftp://nobody/x'))).toMatchObject({ code: 'bad-request' })
    expect(await dataOf(read(bus, url, 101))).toMatchObject({ code: 'bad-request' })
    expect(await dataOf(read(bus, url, -1))).toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('offset'),
    })
    expect(await dataOf(write(bus, url, '/public/elsewhere'))).toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('from'),
    })
    const slot = await far.files.receive(far.id, join(root, 'target'))
    expect(await dataOf(write(bus, slot, '/local/transfer/nobody/Read'))).toMatchObject({ code: 'failed' })
  })
  it('are for this node only', async () => {
    const { far, near } = await setUp()
    const url = await publish(far, someBytes(100))
    for (const address of [LOCAL_READ, LOCAL_WRITE]) {
      const caller = { kind: 'peer', nodeId: far.id } as const
      const call = near.bus.call(address, { url, offset: 0, from: '/local/x' }, { caller })
      await expect(call).rejects.toMatchObject({ code: 'bad-request' })
    }
  })
  it('are not taken as complete when the process that sends them goes away', async () => {
    const { far, near, bus } = await setUp()
    const url = await far.files.receive(far.id, join(root, 'target'))
    const gone = Promise.withResolvers<void>()
    bus.bind('/local/transfer/test/Read', async function* () {
      yield new Uint8Array(200_000)
      bus.close()
      await gone.promise
    })
    await write(near.bus, url, '/local/transfer/test/Read').catch(() => {})
    gone.resolve()
    expect(far.files.list(far.id)[0]?.state).not.toBe('done')
  })
})
