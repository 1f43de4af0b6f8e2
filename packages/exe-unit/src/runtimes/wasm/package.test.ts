import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ZipFile } from 'yazl'
import type { Instance } from '../../runtime.ts'
import { finish, hostPath } from '../../testing.ts'
import { createWasmRuntime } from './index.ts'
import { unpackImage } from './package.ts'

const BOX = fileURLToPath(new URL('../../../fixtures/box.wasm', import.meta.url))

async function makeZip(file: string, entries: Record<string, string | Buffer>): Promise<string> {
  const zip = new ZipFile()
  for (const [name, content] of Object.entries(entries)) zip.addBuffer(Buffer.from(content), name)
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(file))
  return file
}

const manifest = (more: Record<string, unknown> = {}) =>
  JSON.stringify({
    id: 'test/box',
    name: 'box',
    'entry-points': [{ id: 'tool', 'wasm-path': 'bin/box.wasm' }],
    'mount-points': [{ ro: 'data' }, { rw: '/out' }, { private: 'scratch' }],
    ...more,
  })

describe("Golem's WASI packages", () => {
  let folder: string
  let instance: Instance | undefined
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-package-'))
  })
  afterEach(async () => {
    await instance?.stop('the test is over')
    instance = undefined
    await rm(folder, { recursive: true, force: true })
  })

  it('run by entry point, with their mount points as volumes; private ones are not shown', async () => {
    const box = await readFile(BOX)
    const imageFile = await makeZip(join(folder, 'p.zip'), { 'manifest.json': manifest(), 'bin/box.wasm': box })
    const runtime = createWasmRuntime({ clock: systemClock })
    instance = await runtime.deploy({ imageFile, folder, limits: {}, volumes: ['/more'], env: {}, network: [] })
    expect(instance.volumes.map(({ path }) => path)).toEqual(['/data', '/out', '/more'])
    await writeFile(join(hostPath(instance, '/data'), 'x'), 'given')
    const execute = async (...args: string[]) => finish(await instance!.run({ entryPoint: 'tool', args }))
    expect((await execute('cat', '/data/x')).stdout).toBe('given')
    expect((await execute('argv0')).stdout).toBe('bin/box.wasm\n')
    expect((await execute('write', '/scratch/note', 'kept')).end).toEqual({ kind: 'exited', code: 0 })
    expect((await execute('cat', '/scratch/note')).stdout).toBe('kept')
    await expect(instance.run({ entryPoint: 'main', args: [] })).rejects.toMatchObject({
      code: 'bad-request',
      message: 'Entrypoint main not found. The image has: tool',
    })
  })

  it('are refused with the reason when they are wrong', async () => {
    const cases: [Record<string, string>, string][] = [
      [{ 'other.json': '{}' }, 'no manifest.json in its root'],
      [{ 'manifest.json': '{' }, 'not JSON'],
      [{ 'manifest.json': manifest({ 'entry-points': [] }) }, 'no entry points'],
      [{ 'manifest.json': manifest() }, 'bin/box.wasm, which is not in the package'],
      [{ 'manifest.json': manifest({ 'mount-points': [{ rw: '/' }] }) }, 'mount-points'],
      [{ 'manifest.json': manifest({ runtime: 'aswasm' }) }, 'runtime'],
      [{ 'manifest.json': manifest({ 'mount-points': [{ rw: '../..' }] }) }, 'mount-points'],
    ]
    for (const [entries, message] of cases) {
      const file = await makeZip(join(folder, 'bad.zip'), entries)
      await expect(unpackImage(file, join(folder, 'm')), message).rejects.toMatchObject({
        code: 'bad-image',
        message: expect.stringContaining(message),
      })
    }
    await writeFile(join(folder, 'cut.zip'), (await readFile(join(folder, 'bad.zip'))).subarray(0, 60))
    await expect(unpackImage(join(folder, 'cut.zip'), join(folder, 'm'))).rejects.toMatchObject({ code: 'bad-image' })
  })

  it('cannot be bombs: what an entry unpacks to is known before and held to', async () => {
    const zeros = Buffer.alloc(3 * 1024 * 1024)
    const file = await makeZip(join(folder, 'z.zip'), { 'manifest.json': manifest(), 'bin/box.wasm': zeros })
    const bytes = await readFile(file)
    // The entry claims 16 bytes, in both its headers, and inflates to 3 MiB.
    for (let at = bytes.indexOf('bin/box.wasm'); at >= 0; at = bytes.indexOf('bin/box.wasm', at + 1)) {
      const isCentral = bytes.readUInt32LE(at - 46) === 0x02014b50
      bytes.writeUInt32LE(16, isCentral ? at - 46 + 24 : at - 30 + 22)
    }
    await writeFile(file, bytes)
    await expect(unpackImage(file, join(folder, 'm'))).rejects.toMatchObject({
      code: 'bad-image',
      message: expect.stringContaining('unpack'),
    })
    const huge = await makeZip(join(folder, 'h.zip'), { 'manifest.json': Buffer.alloc(300 * 1024, ' ') })
    await expect(unpackImage(huge, join(folder, 'm'))).rejects.toMatchObject({ code: 'bad-image' })
  })
})

describe('modules of the older interface', () => {
  it('run: wasi_unstable as wasi_snapshot_preview1', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emet-unstable-'))
    // (module (import "wasi_unstable" "proc_exit" (func (param i32))) (memory (export "memory") 1)
    //         (func (export "_start") (call 0 (i32.const 42))))
    const name = (text: string) => Buffer.concat([Buffer.of(text.length), Buffer.from(text)])
    const section = (id: number, ...parts: (Buffer | number)[]) => {
      const body = Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : part)))
      return Buffer.concat([Buffer.of(id, body.length), body])
    }
    const module = Buffer.concat([
      Buffer.from('0061736d01000000', 'hex'),
      section(1, 2, Buffer.of(0x60, 1, 0x7f, 0), Buffer.of(0x60, 0, 0)),
      section(2, 1, name('wasi_unstable'), name('proc_exit'), 0, 0),
      section(3, 1, 1),
      section(5, 1, 0, 1),
      section(7, 2, name('memory'), 2, 0, name('_start'), 0, 1),
      section(10, 1, 6, 0, Buffer.of(0x41, 42, 0x10, 0, 0x0b)),
    ])
    const imageFile = join(folder, 'old.wasm')
    await writeFile(imageFile, module)
    const runtime = createWasmRuntime({ clock: systemClock })
    const instance = await runtime.deploy({ imageFile, folder, limits: {}, volumes: [], env: {}, network: [] })
    const { end } = await finish(await instance.run({ entryPoint: 'main', args: [] }))
    await instance.stop('done')
    await rm(folder, { recursive: true, force: true })
    expect(end).toEqual({ kind: 'exited', code: 42 })
  })
})
