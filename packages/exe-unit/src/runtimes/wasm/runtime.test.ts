import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DeployRequest, Instance } from '../../runtime.ts'
import { finish, hostPath, testRuntime } from '../../testing.ts'
import { createWasmRuntime } from './index.ts'

const BOX = fileURLToPath(new URL('../../../fixtures/box.wasm', import.meta.url))
const MIB = 1024 * 1024

// On Linux these run in bubblewrap or fail with what to install; they are never skipped.
testRuntime('wasm', {
  create: () => createWasmRuntime({ clock: systemClock }),
  imageFile: BOX,
  run: (words) => ({ entryPoint: 'main', args: words }),
  writable: '/work',
})

testRuntime('wasm in memory', {
  create: () => createWasmRuntime({ clock: systemClock }, { confinement: 'in-memory', bubblewrap: '/nowhere' }),
  imageFile: BOX,
  run: (words) => ({ entryPoint: 'main', args: words }),
  writable: '/work',
})

/** A module that imports one function without arguments. */
function importing(space: string, name: string): Uint8Array {
  const text = (value: string) => [value.length, ...Buffer.from(value)]
  const body = [1, ...text(space), ...text(name), 0, 0]
  return Buffer.from([...Buffer.from('0061736d01000000010401600000', 'hex'), 2, body.length, ...body])
}

it.each([
  ['jailed', 'bubblewrap'],
  ['in-memory', 'in-memory'],
] as const)('offers of the %s runtime say how programs are isolated', async (confinement, isolation) => {
  const runtime = createWasmRuntime({ clock: systemClock }, { confinement })
  expect((await runtime.offerTemplate()).properties).toMatchObject({ 'golem.runtime.wasm.isolation': isolation })
})

describe('the wasm runtime', () => {
  let folder: string
  let instance: Instance | undefined
  const deploy = async (more: Partial<DeployRequest> = {}) => {
    const runtime = createWasmRuntime({ clock: systemClock })
    const work = join(folder, 'work')
    await mkdir(work, { recursive: true })
    instance = await runtime.deploy({
      ...{ imageFile: BOX, folder: work, limits: {}, volumes: [], env: {}, network: [] },
      ...more,
    })
    return instance
  }
  const execute = async (...words: string[]) => {
    if (!instance) throw new Error('deploy first')
    return finish(await instance.run({ entryPoint: 'main', args: words }))
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-wasm-'))
  })
  afterEach(async () => {
    await instance?.stop('the test is over')
    instance = undefined
    await rm(folder, { recursive: true, force: true })
  })

  it('refuses to run without bubblewrap, and says what to install', async () => {
    const runtime = createWasmRuntime({ clock: systemClock }, { bubblewrap: '/nowhere/bwrap' })
    await expect(runtime.test()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('apt-get install bubblewrap'),
    })
  })

  it('takes bare modules only if they are WASI commands', async () => {
    const notes: [string, Uint8Array, string][] = [
      ['text', Buffer.from('#!/bin/sh'), 'neither a WebAssembly module nor a zip'],
      ['component', Buffer.from('0061736d0d000100', 'hex'), 'a component'],
      ['empty module', Buffer.from('0061736d01000000', 'hex'), 'no function _start'],
      ['foreign import', importing('env', 'puts'), 'imports env.puts'],
      ['unknown import', importing('wasi_snapshot_preview1', 'sock_fly'), 'imports wasi_snapshot_preview1.sock_fly'],
      ['damaged module', (await readFile(BOX)).subarray(0, 5000), 'WebAssembly.Module'],
    ]
    for (const [name, bytes, message] of notes) {
      const imageFile = join(folder, name)
      await writeFile(imageFile, bytes)
      await expect(deploy({ imageFile }), name).rejects.toMatchObject({
        code: 'bad-image',
        message: expect.stringContaining(message),
      })
    }
  })

  it('sees its own root, and nothing of the host, however it asks', async () => {
    await deploy()
    const secret = join(folder, 'secret')
    await writeFile(secret, 'the host has this')
    expect((await execute('list', '/')).stdout.split('\n')).toEqual(
      expect.arrayContaining(['input', 'output', 'work', 'golem', 'tmp']),
    )
    for (const path of ['/etc/hostname', '/../../etc/passwd', '/work/../../../../etc/passwd', secret]) {
      expect((await execute('cat', path)).end, path).toEqual({ kind: 'exited', code: 1 })
    }
  })

  it('leads a link out of the volume nowhere, whoever made it', async () => {
    const deployed = await deploy()
    const work = hostPath(deployed, '/work')
    const secret = join(folder, 'secret')
    await mkdir(secret)
    await writeFile(join(secret, 'file'), 'the host has this')
    // node:wasi itself follows a link to a folder: in the jail the target must not exist.
    await symlink('/etc', join(work, 'etc'))
    await symlink(secret, join(work, 'secret'))
    await symlink('/proc/self', join(work, 'proc'))
    await symlink('../../..', join(work, 'up'))
    for (const path of ['etc/hostname', 'etc/passwd', 'secret/file', 'proc/environ', 'proc/mem', 'up/etc/passwd']) {
      const { stdout, end } = await execute('cat', `/work/${path}`)
      expect({ path, stdout, end }).toEqual({ path, stdout: '', end: { kind: 'exited', code: 1 } })
    }
    // The same by the guest's own hand, writing included.
    await execute('link', '../../../../../../etc', '/work/mine')
    expect((await execute('cat', '/work/mine/passwd')).end).toMatchObject({ code: 1 })
    expect((await execute('write', '/work/secret/file', 'overwritten')).end).toMatchObject({ code: 1 })
    expect(await readFile(join(secret, 'file'), 'utf8')).toBe('the host has this')
  })

  it('in memory, sees nothing of the host either', async () => {
    const runtime = createWasmRuntime({ clock: systemClock }, { confinement: 'in-memory' })
    const work = join(folder, 'work')
    await mkdir(work)
    const secret = join(folder, 'secret')
    await writeFile(secret, 'the host has this')
    const request = { imageFile: BOX, folder: work, limits: {}, volumes: [], env: {}, network: [] }
    instance = await runtime.deploy(request)
    await symlink('/etc', join(hostPath(instance, '/work'), 'etc'))
    await symlink(secret, join(hostPath(instance, '/work'), 'link'))
    for (const path of ['/work/etc/hostname', '/work/link', secret, '/../../etc/hostname']) {
      expect(await execute('cat', path), path).toMatchObject({ stdout: '', end: { kind: 'exited', code: 1 } })
    }
    await execute('write', '/work/link', 'overwritten')
    expect(await readFile(secret, 'utf8')).toBe('the host has this')
  })

  it('keeps what the engine could reach read-only', async () => {
    const deployed = await deploy()
    await symlink('/app', join(hostPath(deployed, '/work'), 'app'))
    await symlink('/', join(hostPath(deployed, '/work'), 'root'))
    expect((await execute('write', '/work/app/engine.mjs', 'x')).end).toMatchObject({ code: 1 })
    expect((await execute('write', '/work/root/new', 'x')).end).toMatchObject({ code: 1 })
  })

  it('gives no more memory than the agreement does', async () => {
    await deploy({ limits: { memoryBytes: 160 * MIB } })
    const { stdout, end } = await execute('hog', '512')
    expect(end).toEqual({ kind: 'exited', code: 3 })
    const got = Number(/after (\d+) MiB/.exec(stdout)?.[1])
    expect(got).toBeGreaterThan(40)
    expect(got).toBeLessThanOrEqual(64)
  })

  it('lets no single file grow beyond the storage of the agreement', async () => {
    await deploy({ limits: { storageBytes: 4 * MIB } })
    expect((await execute('fill', '/work/ok', String(3 * MIB))).end).toEqual({ kind: 'exited', code: 0 })
    expect((await execute('fill', '/work/big', String(8 * MIB))).end).toEqual({ kind: 'exited', code: 1 })
  })

  it('ends a command that runs longer than its limit, and names the limit', async () => {
    await deploy({ limits: { commandMs: 300 } })
    const { end } = await execute('spin')
    expect(end).toEqual({ kind: 'killed', reason: 'it ran longer than the limit of 300 ms' })
  })

  it('passes a program name of its own choice and the arguments', async () => {
    const deployed = await deploy()
    const run = async (entryPoint: string) => (await finish(await deployed.run({ entryPoint, args: ['argv0'] }))).stdout
    expect(await run('main')).toBe('main\n')
    expect(await run('bin/render.wasm')).toBe('render.wasm\n')
  })

  it('gives up on a deployment when told to', async () => {
    const runtime = createWasmRuntime({ clock: systemClock })
    const controller = new AbortController()
    const work = join(folder, 'work')
    await mkdir(work)
    const request = { imageFile: BOX, folder: work, limits: {}, volumes: [], env: {}, network: [] }
    const deploying = runtime.deploy(request, { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await deploying.then(
      (late) => late.stop('too late'),
      (error) => expect(error).toMatchObject({ code: 'unavailable' }),
    )
  })
})
