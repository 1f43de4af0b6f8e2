import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bus, createBus } from '@emet/bus'
import { type NodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { createNet, type Net } from '@emet/net'
import { createMemoryNetwork, type MemoryNetwork } from '@emet/net/memory'
import { createTestIdentity } from '@emet/net/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../store/index.ts'
import { createFiles, type Files, FilesError } from './index.ts'
import { parseFileUrl } from './url.ts'

const ports = { clock: systemClock, random: systemRandom, logger: silentLogger }
const sha3 = (bytes: Uint8Array) => createHash('sha3-256').update(bytes).digest('hex')
/** Bytes that do not repeat, so that a misplaced chunk shows. */
const someBytes = (length: number) =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff)

type Node = { id: NodeId; bus: Bus; net: Net; db: Database; files: Files; folder: string }

let root: string
let network: MemoryNetwork
const undo: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'emet-files-'))
  network = createMemoryNetwork({ clock: systemClock, random: systemRandom })
})
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
  await rm(root, { recursive: true, force: true })
})

async function startNode(
  seed: string,
  given: { bulk?: boolean; fileBytesMax?: number; db?: Database } = {},
): Promise<Node> {
  const identity = createTestIdentity(seed)
  const bus = createBus(ports)
  const net = createNet({ ...ports, transports: [network.createTransport(identity)], bus, identity })
  await net.start()
  const db = given.db ?? openDatabase({ path: ':memory:' })
  const folder = join(root, seed)
  const limits = given.fileBytesMax === undefined ? {} : { fileBytesMax: given.fileBytesMax }
  const files = createFiles({ ...ports, bus, db, net: given.bulk === false ? undefined : net }, { folder, ...limits })
  await files.start()
  undo.push(
    () => net.stop(),
    () => files.stop(),
  )
  return { id: identity.defaultId, bus, net, db, files, folder }
}

async function writeSome(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(root, name)
  await writeFile(path, bytes)
  return path
}
const codeOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof FilesError ? error.code : error
}
async function* once(bytes: Uint8Array) {
  yield bytes.subarray(0, 10)
  yield bytes.subarray(10)
}
async function readAll(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces)
}

describe('publishing', () => {
  it('names a file by its hash, and says the same again', async () => {
    const { files, id } = await startNode('a')
    const bytes = someBytes(1_000)
    const path = await writeSome('file', bytes)
    const published = await files.publish(id, path, {})
    expect(published).toEqual({ url: `gftp://${id}/${sha3(bytes)}`, sha3: sha3(bytes), sizeBytes: 1_000 })
    expect(await files.publish(id, path, {})).toEqual(published)
    expect(files.list(id)).toHaveLength(1)
    expect(await readAll(files.content(id, published.url))).toEqual(Buffer.from(bytes))
  })
  it('keeps bytes without a file until they are closed', async () => {
    const { files, id, folder } = await startNode('a')
    const { url } = await files.publishContent(id, once(someBytes(500)), {})
    expect(await readdir(folder)).toHaveLength(1)
    expect(await readAll(files.content(id, url))).toHaveLength(500)
    await files.close(id, url)
    expect(await readdir(folder)).toEqual([])
    expect(await codeOf(files.close(id, url))).toBe('not-found')
  })
  it('serves only its owner over REST', async () => {
    const { files, id } = await startNode('a')
    const other = createTestIdentity('x').defaultId
    const { url } = await files.publishContent(id, once(someBytes(50)), {})
    expect(files.list(other)).toEqual([])
    expect(await codeOf(files.close(other, url))).toBe('not-found')
  })
  it.each(['relative', '', '/no/such/file', '/tmp'])('refuses the path %j', async (path) => {
    const { files, id } = await startNode('a')
    expect(['bad-request', 'not-found']).toContain(await codeOf(files.publish(id, path, {})))
  })
  it('takes no more bytes than it may, and leaves nothing of them', async () => {
    const { files, id, folder } = await startNode('a', { fileBytesMax: 100 })
    expect(await codeOf(files.publishContent(id, once(someBytes(101)), {}))).toBe('too-large')
    expect(await readdir(folder)).toEqual([])
  })
  it('survives a restart, which sweeps what nobody needs', async () => {
    const { files, id, db, folder } = await startNode('a')
    const { url } = await files.publishContent(id, once(someBytes(500)), {})
    await files.stop()
    await writeFile(join(folder, 'left.incoming'), 'x')
    const again = createFiles({ ...ports, bus: createBus(ports), db }, { folder })
    await again.start()
    expect(await readAll(again.content(id, url))).toHaveLength(500)
    expect(await readdir(folder)).toHaveLength(1)
    await again.stop()
  })
})

describe.each([
  ['bulk streams', true],
  ['messages', false],
])('between nodes by %s', (_, bulk) => {
  const sizes = [0, 1, 40_960, 40_961, 700_000]
  it.each(sizes)('downloads %i bytes', async (size) => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const bytes = someBytes(size)
    const { url } = await a.files.publish(a.id, await writeSome('source', bytes), {})
    const target = join(root, 'deep', 'target')
    const progress: number[] = []
    const onProgress = (done: number) => progress.push(done)
    const got = await b.files.download(b.id, url, target, { onProgress })
    expect(got).toMatchObject({ sha3: sha3(bytes), sizeBytes: size })
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
    if (size > 0) expect(progress.at(-1)).toBe(size)
    if (size > 0) expect(a.files.list(a.id)[0]?.transferredBytes).toBe(size)
  })
  it('goes on where a download has stopped', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const bytes = someBytes(300_000)
    const { url } = await a.files.publish(a.id, await writeSome('source', bytes), {})
    const target = join(root, 'target')
    await writeFile(`${target}.part`, bytes.subarray(0, 200_000))
    await b.files.download(b.id, url, target, {})
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
    expect(a.files.list(a.id)[0]?.transferredBytes).toBe(100_000)
  })
  it('notices damage, and starts over', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const bytes = someBytes(100_000)
    const { url } = await a.files.publish(a.id, await writeSome('source', bytes), {})
    const target = join(root, 'target')
    await writeFile(`${target}.part`, new Uint8Array(50_000))
    expect(await codeOf(b.files.download(b.id, url, target, {}))).toBe('integrity')
    await b.files.download(b.id, url, target, {})
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
  })
  it('finds nothing behind a closed URL, and refuses a changed file', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const path = await writeSome('source', someBytes(1_000))
    const { url } = await a.files.publish(a.id, path, {})
    await truncate(path, 500)
    expect(['changed', 'failed']).toContain(await codeOf(b.files.download(b.id, url, join(root, 't'), {})))
    await a.files.close(a.id, url)
    expect(await codeOf(b.files.download(b.id, url, join(root, 't'), {}))).toBe('not-found')
  })
  it('takes no larger file than it may', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk, fileBytesMax: 100 })]
    const { url } = await a.files.publish(a.id, await writeSome('source', someBytes(101)), {})
    expect(await codeOf(b.files.download(b.id, url, join(root, 't'), {}))).toBe('too-large')
  })
  it.each(sizes)('uploads %i bytes', async (size) => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const bytes = someBytes(size)
    const target = join(root, 'deep', 'target')
    const url = await a.files.receive(a.id, target)
    expect(parseFileUrl(url).name).toMatch(/^[0-9a-zA-Z]{65}$/)
    await b.files.upload(b.id, await writeSome('source', bytes), url, {})
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
    expect(a.files.list(a.id, [url])[0]).toMatchObject({ state: 'done', sizeBytes: size, sha3: sha3(bytes) })
    // A second file finds the URL used.
    expect(await codeOf(b.files.upload(b.id, await writeSome('other', someBytes(9)), url, {}))).not.toBeUndefined()
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
  })
  it('keeps an upload without a path until the URL is closed', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const url = await a.files.receive(a.id, undefined)
    expect(() => a.files.content(a.id, url)).toThrow(expect.objectContaining({ code: 'not-ready' }))
    await b.files.upload(b.id, await writeSome('source', someBytes(5_000)), url, {})
    expect(await readAll(a.files.content(a.id, url))).toHaveLength(5_000)
    await a.files.close(a.id, url)
    expect(await readdir(a.folder)).toEqual([])
  })
  it('has nowhere to upload without a URL', async () => {
    const [a, b] = [await startNode('a', { bulk }), await startNode('b', { bulk })]
    const path = await writeSome('source', someBytes(10))
    expect(await codeOf(b.files.upload(b.id, path, `gftp://${a.id}/${'x'.repeat(65)}`, {}))).toBe('not-found')
    const { url } = await a.files.publish(a.id, path, {})
    expect(await codeOf(b.files.upload(b.id, path, url, {}))).not.toBeUndefined()
    expect((await stat(path)).size).toBe(10)
  })
})

describe('an upload by bulk stream', () => {
  it('is continued after both sides have restarted', async () => {
    const db = openDatabase({ path: ':memory:' })
    const bytes = someBytes(400_000)
    const target = join(root, 'target')
    const first = await startNode('a', { db })
    const url = await first.files.receive(first.id, target)
    const { name } = parseFileUrl(url)
    const caller = { kind: 'peer', nodeId: first.id } as const
    const chunk = { offset: 0, content: bytes.subarray(0, 100_000) }
    await first.bus.call(`/public/gftp/${name}/UploadChunk`, { chunk }, { caller })
    await first.files.stop()
    await first.net.stop()
    const [a, b] = [await startNode('a', { db }), await startNode('b')]
    const seen: number[] = []
    const onProgress = (done: number) => seen.push(done)
    await b.files.upload(b.id, await writeSome('source', bytes), url, { onProgress })
    expect(seen[0]).toBeGreaterThan(100_000)
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0)
    expect(a.files.list(a.id)[0]?.transferredBytes).toBe(300_000)
  })
})

describe('the messages of GFTP', () => {
  const setUp = async () => {
    const node = await startNode('a')
    const call = (name: string, message: string, body: unknown) =>
      node.bus.call(`/public/gftp/${name}/${message}`, body, { caller: { kind: 'peer', nodeId: node.id } })
    return { ...node, call }
  }
  it('serve any range, cut at the end', async () => {
    const { files, id, call } = await setUp()
    const bytes = someBytes(100_000)
    const { sha3: name } = await files.publish(id, await writeSome('f', bytes), {})
    expect(await call(name, 'GetMetadata', null)).toEqual({ fileSize: 100_000 })
    expect(await call(name, 'GetMetadata', {})).toEqual({ fileSize: 100_000 })
    expect(await call(name, 'GetChunk', { offset: 99_990, size: 40_960 })).toEqual({
      offset: 99_990,
      content: bytes.slice(99_990),
    })
    await expect(call(name, 'GetChunk', { offset: 100_001, size: 1 })).rejects.toMatchObject({
      data: { ReadError: expect.any(String) },
    })
  })
  it.each([
    ['GetChunk', {}, 'ReadError'],
    ['GetChunk', { offset: -1, size: 4 }, 'ReadError'],
    ['GetChunk', { offset: 0.5, size: 4 }, 'ReadError'],
    ['UploadChunk', { chunk: { offset: 0, content: 'text' } }, 'WriteError'],
    ['UploadFinished', { hash: 'xyz' }, 'WriteError'],
  ])('refuse %s %j', async (message, body, error) => {
    const { files, id, call } = await setUp()
    const { sha3: name } = await files.publish(id, await writeSome('f', someBytes(10)), {})
    await expect(call(name, message, body)).rejects.toMatchObject({ data: { [error]: expect.any(String) } })
  })
  it('answer unknown names and messages as addresses where nobody listens', async () => {
    const { files, id, call } = await setUp()
    const { sha3: name } = await files.publish(id, await writeSome('f', someBytes(10)), {})
    await expect(call('unknown', 'GetMetadata', null)).rejects.toMatchObject({ code: 'no-endpoint' })
    await expect(call(name, 'Delete', null)).rejects.toMatchObject({ code: 'no-endpoint' })
    await expect(call(name, 'constructor', null)).rejects.toMatchObject({ code: 'no-endpoint' })
  })
  it('take chunks in any order, also as lists of numbers, and check the whole', async () => {
    const { files, id, call } = await setUp()
    const url = await files.receive(id, join(root, 'target'))
    const { name } = parseFileUrl(url)
    const bytes = someBytes(50)
    await Promise.all([
      call(name, 'UploadChunk', { chunk: { offset: 20, content: [...bytes.subarray(20)] } }),
      call(name, 'UploadChunk', { chunk: { offset: 0, content: bytes.subarray(0, 20) } }),
    ])
    await call(name, 'UploadFinished', { hash: sha3(bytes) })
    await call(name, 'UploadFinished', { hash: sha3(bytes) })
    expect(Buffer.compare(await readFile(join(root, 'target')), bytes)).toBe(0)
  })
  it('find a damaged upload, and take it again', async () => {
    const { files, id, call } = await setUp()
    const url = await files.receive(id, join(root, 'target'))
    const { name } = parseFileUrl(url)
    const send = () => call(name, 'UploadChunk', { chunk: { offset: 0, content: new Uint8Array([1, 2]) } })
    await send()
    await expect(call(name, 'UploadFinished', { hash: '0'.repeat(64) })).rejects.toMatchObject({
      data: 'IntegrityError',
    })
    expect(files.list(id)[0]).toMatchObject({ state: 'failed', message: expect.stringContaining('hash') })
    await send()
    await call(name, 'UploadFinished', { hash: null })
    expect(files.list(id)[0]).toMatchObject({ state: 'done', sizeBytes: 2 })
  })
  it('find a gap without a hash, and refuse a chunk far ahead', async () => {
    const { files, id, call } = await setUp()
    const { name } = parseFileUrl(await files.receive(id, join(root, 'target')))
    const content = new Uint8Array([1])
    await expect(call(name, 'UploadChunk', { chunk: { offset: 2 ** 40, content } })).rejects.toMatchObject({
      data: { WriteError: expect.any(String) },
    })
    await expect(call(name, 'UploadChunk', { chunk: { offset: 100_000_000, content } })).rejects.toMatchObject({
      data: { WriteError: expect.any(String) },
    })
    await call(name, 'UploadChunk', { chunk: { offset: 5, content } })
    await expect(call(name, 'UploadFinished', { hash: null })).rejects.toMatchObject({ data: 'IntegrityError' })
    expect(await readdir(root)).not.toContain('target')
  })
})
