import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bus, BusError, createBus } from '@emet/bus'
import { type Clock, nodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Volume } from '../runtime.ts'
import { GFTP_CHUNK_BYTES } from './gftp.ts'
import { isPrivateAddress } from './http.ts'
import { createTransfers, type TransferSpec, type TransfersOptions } from './index.ts'

const NODE = nodeId(`0x${'ab'.repeat(20)}`)
const sha3 = (bytes: Uint8Array) => createHash('sha3-256').update(bytes).digest('hex')

describe('transfers', () => {
  let folder: string
  let volumes: Volume[]
  let bus: Bus
  let progress: [number, number | undefined][]
  let naps: number[]
  let server: Server
  let web: string
  let serve: (request: IncomingMessage, response: ServerResponse) => unknown
  /** Pauses between attempts take no time. */
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      naps.push(ms)
    },
  }
  const inside = (path: string) => join(folder, 'vol', path)
  const transfersWith = (options: Partial<TransfersOptions> = {}) =>
    createTransfers(
      { bus, clock, random: systemRandom, logger: silentLogger },
      { cacheDir: join(folder, 'cache'), allowPrivateHosts: true, ...options },
    )
  const context = (signal = new AbortController().signal) => ({
    volumes,
    signal,
    onProgress: (bytes: number, total: number | undefined) => void progress.push([bytes, total]),
  })
  const transfer = (spec: TransferSpec, options: Partial<TransfersOptions> = {}) =>
    transfersWith(options).transfer(spec, context())
  /** Publishes bytes as another node does; `failAt` breaks the first chunk at this offset once. */
  const publish = (bytes: Uint8Array, name = sha3(bytes), failAt?: number) => {
    let isBroken = failAt !== undefined
    const address = `/transfer/net/${NODE}/gftp/${name}`
    bus.bind(`${address}/GetMetadata`, async () => ({ fileSize: bytes.length }))
    bus.bind(`${address}/GetChunk`, async ({ body }) => {
      const { offset, size } = body.value() as { offset: number; size: number }
      if (isBroken && offset === failAt) {
        isBroken = false
        throw new BusError('closed', 'the peer went away')
      }
      return { offset, content: bytes.slice(offset, offset + size) }
    })
    return `gftp://${NODE}/${name}`
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-transfer-'))
    await mkdir(inside('sub'), { recursive: true })
    volumes = [{ path: '/', hostFolder: join(folder, 'vol') }]
    bus = createBus({ clock: systemClock, logger: silentLogger })
    progress = []
    naps = []
    serve = (_request, response) => response.writeHead(404).end()
    server = createServer((request, response) => serve(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    web = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(async () => {
    server.closeAllConnections()
    server.close()
    bus.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('brings a file by gftp, in many chunks, with progress, and checks its name', async () => {
    const bytes = systemRandom.bytes(GFTP_CHUNK_BYTES * 20 + 7)
    await transfer({ from: publish(bytes), to: 'container:/new/folder/file' })
    expect(await readFile(inside('new/folder/file'))).toEqual(Buffer.from(bytes))
    expect(progress[0]).toEqual([0, bytes.length])
    expect(progress.at(-1)).toEqual([bytes.length, bytes.length])
    const wrong = publish(bytes, sha3(Buffer.from('something else')))
    await expect(transfer({ from: wrong, to: 'container:/bad' })).rejects.toMatchObject({ code: 'integrity' })
    expect(await readdir(inside('.'))).toEqual(['new', 'sub'])
  })

  it('goes on where the way broke, with the hash of the whole', async () => {
    const bytes = systemRandom.bytes(GFTP_CHUNK_BYTES * 30)
    const from = publish(bytes, sha3(bytes), GFTP_CHUNK_BYTES * 25)
    await transfer({ from, to: '/file' })
    expect(await readFile(inside('file'))).toEqual(Buffer.from(bytes))
    expect(naps).toEqual([2000])
  })

  it('tries three times and then says what failed', async () => {
    const from = `gftp://${NODE}/${sha3(Buffer.from('nobody'))}`
    await expect(transfer({ from, to: '/x' })).rejects.toMatchObject({
      code: 'transfer-failed',
      message: expect.stringContaining(from),
    })
    expect(naps).toEqual([2000, 4000])
  })

  it('sends a file by gftp in chunks, with its hash', async () => {
    const bytes = systemRandom.bytes(GFTP_CHUNK_BYTES * 5 + 1)
    await writeFile(inside('out'), bytes)
    const got = Buffer.alloc(bytes.length)
    let hash: string | undefined
    bus.bind(`/transfer/net/${NODE}/gftp/slot/UploadChunk`, async ({ body }) => {
      const { chunk } = body.value() as { chunk: { offset: number; content: Uint8Array } }
      got.set(chunk.content, chunk.offset)
      return null
    })
    bus.bind(`/transfer/net/${NODE}/gftp/slot/UploadFinished`, async ({ body }) => {
      hash = (body.value() as { hash: string }).hash
      return null
    })
    await transfer({ from: 'container:/out', to: `gftp://${NODE}/slot` })
    expect(got.equals(bytes)).toBe(true)
    expect(hash).toBe(sha3(bytes))
  })

  it('never follows a link that the guest has planted, on the way in or out', async () => {
    const outside = join(folder, 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'secret'), 'of the host')
    await symlink(outside, inside('folder-link'))
    await symlink(join(outside, 'secret'), inside('file-link'))
    await symlink('../outside', inside('sub/up'))
    const from = publish(Buffer.from('bytes'))
    for (const path of ['/folder-link/secret', '/file-link', '/sub/up/secret']) {
      await expect(transfer({ from: path, to: `gftp://${NODE}/slot` }), path).rejects.toMatchObject({
        code: 'path-escape',
      })
    }
    for (const path of ['/folder-link/new', '/sub/up/new', '/folder-link/a/b']) {
      await expect(transfer({ from, to: path }), path).rejects.toMatchObject({ code: 'path-escape' })
    }
    // A link in the place of the file itself is replaced, not written through.
    await transfer({ from, to: '/file-link' })
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('of the host')
    expect(await readdir(outside)).toEqual(['secret'])
    await transfer({ from, to: 'container:/../../../sub/../kept' })
    expect(await readFile(inside('kept'), 'utf8')).toBe('bytes')
  })

  it('refuses what is no transfer, and names it', async () => {
    const cases: [TransferSpec, string, string][] = [
      [{ from: 'file:///etc/passwd', to: '/x' }, 'bad-request', 'the scheme file'],
      [{ from: '/sub', to: 'file:///tmp/x' }, 'bad-request', 'the scheme file'],
      [{ from: 'gftp://nobody/x', to: '/x' }, 'bad-request', 'gftp://'],
      [{ from: `${web}/a`, to: `${web}/b` }, 'bad-request', 'neither'],
      [{ from: 'hash:md5:00:container:/x', to: '/x' }, 'bad-request', 'sha3'],
      [{ from: '/nothing', to: `${web}/b` }, 'not-found', '/nothing'],
      [{ from: '/sub', to: `${web}/b`, format: 'rar' }, 'bad-request', 'rar'],
      [{ from: `${web}/a`, to: '/sub/' }, 'bad-request', 'folder'],
    ]
    for (const [spec, code, message] of cases) {
      await expect(transfer(spec), message).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
    }
    volumes = [{ path: '/data', hostFolder: join(folder, 'vol') }]
    await expect(transfer({ from: '/database/x', to: `${web}/b` })).rejects.toMatchObject({ code: 'not-found' })
  })

  it('fetches from the web: redirects, status, ranges after a break, hash', async () => {
    const bytes = systemRandom.bytes(300_000)
    const ranges: (string | undefined)[] = []
    serve = (request, response): unknown => {
      if (request.url === '/moved') return response.writeHead(302, { location: '/file' }).end()
      if (request.url === '/loop') return response.writeHead(302, { location: '/loop' }).end()
      if (request.url !== '/file') return response.writeHead(410).end('gone')
      if (request.method === 'HEAD') return response.writeHead(200, { 'content-length': bytes.length }).end()
      ranges.push(request.headers.range)
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': bytes.length - from })
      if (from > 0) return response.end(bytes.slice(from))
      return response.write(bytes.slice(0, 100_000), () => response.destroy())
    }
    await transfer({ from: `hash:sha3:${sha3(bytes)}:${web}/moved`, to: '/file' })
    expect(await readFile(inside('file'))).toEqual(Buffer.from(bytes))
    expect(ranges[0]).toBeUndefined()
    expect(ranges[1]).toMatch(/^bytes=\d+-$/)
    await expect(transfer({ from: `${web}/other`, to: '/x' })).rejects.toMatchObject({
      message: expect.stringContaining('answered 410'),
    })
    await expect(transfer({ from: `${web}/loop`, to: '/x' })).rejects.toMatchObject({
      message: expect.stringContaining('redirects'),
    })
    await expect(transfer({ from: `hash:sha3:${'0'.repeat(64)}:${web}/moved`, to: '/x' })).rejects.toMatchObject({
      code: 'integrity',
    })
  })

  it('puts a file to the web, and takes no for an answer', async () => {
    await writeFile(inside('out'), 'hello web')
    let got = ''
    serve = (request, response): unknown => {
      request.on('data', (chunk) => {
        got += chunk
      })
      return request.on('end', () => response.writeHead(request.url === '/ok' ? 201 : 403).end())
    }
    await transfer({ from: '/out', to: `${web}/ok` })
    expect(got).toBe('hello web')
    await expect(transfer({ from: '/out', to: `${web}/no` })).rejects.toMatchObject({
      message: expect.stringContaining('answered 403'),
    })
  })

  it("keeps requestors out of the provider's own network unless it is opened", async () => {
    for (const from of [`${web}/x`, `http://localhost:${(server.address() as AddressInfo).port}/x`, 'http://[::1]/x']) {
      await expect(transfer({ from, to: '/x' }, { allowPrivateHosts: false }), from).rejects.toMatchObject({
        code: 'forbidden',
      })
    }
    const addresses = ['127.0.0.1', '10.1.2.3', '192.168.1.1', '169.254.169.254', '::1', 'fd00::1', '::ffff:127.0.0.1']
    expect(addresses.filter((address) => !isPrivateAddress(address))).toEqual([])
    expect(['1.1.1.1', '2606:4700::1111'].filter(isPrivateAddress)).toEqual([])
  })

  it('packs folders and unpacks archives, in each format', async () => {
    await mkdir(inside('tree/deep'), { recursive: true })
    await writeFile(inside('tree/a.txt'), 'A')
    await writeFile(inside('tree/deep/b.bin'), Buffer.alloc(100_000, 7))
    await symlink('/etc/passwd', inside('tree/link'))
    let stored = Buffer.alloc(0)
    serve = (request, response): unknown => {
      if (request.method === 'GET') return response.end(stored)
      if (request.method === 'HEAD') return response.end()
      const chunks: Buffer[] = []
      request.on('data', (chunk) => chunks.push(chunk))
      return request.on('end', () => {
        stored = Buffer.concat(chunks)
        response.end()
      })
    }
    for (const format of ['tar', 'tar.gz', 'zip', 'zip.0']) {
      await transfer({ from: '/tree', to: `${web}/archive`, format })
      await transfer({ from: `${web}/archive`, to: `/back-${format}`, format })
      expect((await readdir(inside(`back-${format}`), { recursive: true })).sort(), format).toEqual([
        'a.txt',
        'deep',
        'deep/b.bin',
      ])
      expect(await readFile(inside(`back-${format}/deep/b.bin`))).toEqual(Buffer.alloc(100_000, 7))
    }
    const fileSet = { includes: ['**/*.txt'], excludes: [] }
    await transfer({ from: '/tree', to: `${web}/archive`, format: 'tar', fileSet })
    await transfer({ from: `${web}/archive`, to: '/some', format: 'tar' })
    expect(await readdir(inside('some'))).toEqual(['a.txt'])
  })

  it('unpacks nothing outside of the folder', async () => {
    serve = (request, response): unknown => {
      if (request.method === 'HEAD') return response.end()
      const tar = pack()
      tar.entry({ name: '../escaped' }, 'x')
      tar.finalize()
      return tar.pipe(response)
    }
    await expect(transfer({ from: `${web}/evil`, to: '/sub', format: 'tar' })).rejects.toMatchObject({
      code: 'path-escape',
    })
    expect(await readdir(inside('.'))).toEqual(['sub'])
  })

  it('caches images by digest, whole or not at all, within its budget', async () => {
    const first = systemRandom.bytes(50_000)
    const second = systemRandom.bytes(60_000)
    const hashed = (bytes: Uint8Array) => `hash:sha3:${sha3(bytes)}:${publish(bytes)}`
    const transfers = transfersWith({ cacheBytesMax: 100_000 })
    const url = hashed(first)
    const fetched = await transfers.fetchImage(url, context())
    expect(fetched.isCached).toBe(false)
    expect(await readFile(fetched.file)).toEqual(Buffer.from(first))
    expect(await transfers.fetchImage(url, context())).toEqual({ ...fetched, isCached: true })
    await transfers.fetchImage(hashed(second), context())
    expect(await readdir(join(folder, 'cache/images'))).toEqual([`sha3-256-${sha3(second)}`])
    const wrong = `hash:sha3:${'0'.repeat(64)}:${url.split(':').slice(3).join(':')}`
    await expect(transfers.fetchImage(wrong, context())).rejects.toMatchObject({ code: 'integrity' })
    expect(await readdir(join(folder, 'cache/tmp'))).toEqual([])
    expect(await readdir(join(folder, 'cache/images'))).toHaveLength(1)
    for (const bad of ['http://host/image', 'hash:sha3:00:http://host/x', `hash:sha3:${'0'.repeat(64)}:container:/x`]) {
      await expect(transfers.fetchImage(bad, context()), bad).rejects.toMatchObject({ code: 'bad-request' })
    }
  })

  it('stops when it is told to', async () => {
    const controller = new AbortController()
    serve = (_request, response) => void response.write('never enough')
    const moving = transfersWith().transfer({ from: `${web}/slow`, to: '/x' }, context(controller.signal))
    controller.abort(new Error('enough'))
    await expect(moving).rejects.toThrow()
    expect(await readdir(inside('.'))).toEqual(['sub'])
  })
})
