import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Body, type Bus, BusError, createBus, ReplyError } from '@emet/bus'
import { type Clock, nodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createTransfers } from './index.ts'

const NODE = nodeId(`0x${'ab'.repeat(20)}`)
const PIECE_BYTES = 1_000
const sha3 = (bytes: Uint8Array) => createHash('sha3-256').update(bytes).digest('hex')

describe('gftp through the daemon', () => {
  let folder: string
  let bus: Bus
  let naps: number[]
  let messages: number
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      naps.push(ms)
    },
  }
  const transfers = () =>
    createTransfers(
      { bus, clock, random: systemRandom, logger: silentLogger },
      { cacheDir: join(folder, 'cache'), allowPrivateHosts: false },
    )
  const transfer = (from: string, to: string, signal = new AbortController().signal) => {
    const volumes = [{ path: '/', hostFolder: join(folder, 'vol') }]
    return transfers().transfer({ from, to }, { volumes, signal, onProgress: () => {} })
  }
  const inside = (path: string) => join(folder, 'vol', path)

  /** A daemon that has the file: `failures` are what its calls end with, after the third piece each. */
  const serveRead = (bytes: Uint8Array, failures: Error[] = []) => {
    const offsets: number[] = []
    bus.bind('/local/files/Read', async function* ({ body }) {
      const { offset } = body.value() as { offset: number }
      offsets.push(offset)
      const failure = failures.shift()
      for (let at = offset; at < bytes.length; at += PIECE_BYTES) {
        if (failure && at >= offset + 3 * PIECE_BYTES) throw failure
        yield bytes.subarray(at, at + PIECE_BYTES)
      }
      yield { sizeBytes: bytes.length }
    })
    bus.route(`/transfer/net/${NODE}/gftp`, async function* (call) {
      if (!call.address.endsWith('/GetMetadata')) messages++
      yield Body.of({ Ok: { fileSize: bytes.length } })
    })
    return { url: `gftp://${NODE}/${sha3(bytes)}`, offsets }
  }
  /** A daemon that takes files; `offset` is where the other node wants to go on, `failures` as above. */
  const serveWrite = (offset = 0, failures: Error[] = []) => {
    const got: Uint8Array[] = []
    const finished: unknown[] = []
    bus.bind('/local/files/Write', async function* ({ body }) {
      const { from } = body.value() as { from: string }
      const failure = failures.shift()
      for await (const piece of bus.stream(from, { offset })) {
        if (failure) throw failure
        got.push(piece as Uint8Array)
        yield { sentBytes: 1 }
      }
    })
    bus.bind(`/transfer/net/${NODE}/gftp/slot/UploadFinished`, async ({ body }) => void finished.push(body.value()))
    return { got: () => Buffer.concat(got), finished, url: `gftp://${NODE}/slot` }
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-daemon-'))
    await mkdir(inside('.'), { recursive: true })
    bus = createBus({ clock: systemClock, logger: silentLogger })
    naps = []
    messages = 0
  })
  afterEach(async () => {
    bus.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('brings a file and an image without messages for chunks', async () => {
    const bytes = systemRandom.bytes(10_500)
    const { url, offsets } = serveRead(bytes)
    await transfer(url, '/file')
    expect(await readFile(inside('file'))).toEqual(Buffer.from(bytes))
    const signal = new AbortController().signal
    const image = await transfers().fetchImage(`hash:sha3:${sha3(bytes)}:${url}`, { signal, onProgress: () => {} })
    expect(await readFile(image.file)).toEqual(Buffer.from(bytes))
    expect({ offsets, messages }).toEqual({ offsets: [0, 0], messages: 0 })
  })
  it.each([
    ['the daemon went away', new BusError('closed', 'gone')],
    ['the network broke', new ReplyError({ code: 'failed', message: 'the stream was cut' })],
  ])('goes on where it was when %s', async (_, failure) => {
    const bytes = systemRandom.bytes(10_500)
    const { url, offsets } = serveRead(bytes, [failure, failure])
    await transfer(url, '/file')
    expect(await readFile(inside('file'))).toEqual(Buffer.from(bytes))
    expect(offsets).toEqual([0, 3_000, 6_000])
  })
  it('gives up at once when trying again cannot help, and leaves nothing', async () => {
    const failure = new ReplyError({ code: 'changed', message: 'the file has changed' })
    const { url, offsets } = serveRead(systemRandom.bytes(10_500), [failure])
    await expect(transfer(url, '/file')).rejects.toThrow('the file has changed')
    expect(offsets).toEqual([0])
    expect(await readdir(inside('.'))).toEqual([])
  })
  it('notices a stream that ends too soon, and bytes that are not those of the name', async () => {
    const bytes = systemRandom.bytes(2_500)
    const { url } = serveRead(bytes)
    await expect(transfer(url.replace(/.{8}$/, '00000000'), '/file')).rejects.toMatchObject({ code: 'integrity' })
    bus.close()
    bus = createBus({ clock: systemClock, logger: silentLogger })
    bus.bind(`/transfer/net/${NODE}/gftp/${sha3(bytes)}/GetMetadata`, async () => ({ fileSize: 2_500 }))
    let isEndless = false
    bus.bind('/local/files/Read', async function* ({ body }) {
      const { offset } = body.value() as { offset: number }
      yield isEndless ? bytes : bytes.subarray(offset, offset + 1_000)
    })
    await expect(transfer(url, '/file')).rejects.toThrow('the stream stopped at 2500')
    isEndless = true
    await expect(transfer(url, '/file')).rejects.toMatchObject({ code: 'integrity' })
    expect(await readdir(inside('.'))).toEqual([])
  })
  it.each([0, 1, 4_000, 10_500])('sends a file from offset %i on, and its hash', async (offset) => {
    const bytes = systemRandom.bytes(10_500)
    await writeFile(inside('out'), bytes)
    const { url, got, finished } = serveWrite(offset)
    await transfer('/out', url)
    expect(got()).toEqual(Buffer.from(bytes.subarray(offset)))
    expect(finished).toEqual([{ hash: sha3(bytes) }])
  })
  it('sends it again when the network broke', async () => {
    const bytes = systemRandom.bytes(10_500)
    await writeFile(inside('out'), bytes)
    const { url, got } = serveWrite(0, [new ReplyError({ code: 'failed', message: 'the stream was cut' })])
    await transfer('/out', url)
    expect(got()).toEqual(Buffer.from(bytes))
    expect(naps).toEqual([2_000])
  })
  it('says what failed here, not that the daemon failed for it', async () => {
    const { url, finished } = serveWrite()
    await expect(transfer('/missing/out', url)).rejects.toMatchObject({ code: 'not-found' })
    await mkdir(inside('folder'))
    await expect(transfer('/folder', url)).rejects.toMatchObject({ code: 'path-escape' })
    expect(finished).toEqual([])
  })
  it('stops when it is told to', async () => {
    const controller = new AbortController()
    const stopped = Promise.withResolvers<void>()
    const { url } = serveRead(new Uint8Array(1))
    bus.bind('/local/files/Write', async function* ({ signal }) {
      signal.addEventListener('abort', () => stopped.resolve())
      controller.abort(new Error('enough'))
      yield { sentBytes: 0 }
      await stopped.promise
    })
    await writeFile(inside('out'), 'x')
    await expect(transfer('/out', url, controller.signal)).rejects.toThrow('enough')
    await stopped.promise
  })
})
