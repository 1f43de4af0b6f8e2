/**
 * The compliance suite of runtimes. Every implementation of `Runtime` passes it:
 *
 *     testRuntime('wasm', { create: () => createWasmRuntime({ clock }), imageFile, run: (words) => ({ ... }) })
 *
 * It needs a guest that knows these programs: `echo WORDS`, `err WORDS` (to stderr), `cat [PATHS]` (stdin without any),
 * `write PATH WORDS`, `env NAME`, `exit CODE`, `trap`, `sleep` (for ever), `spam BYTES` (to stdout).
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Command, CommandEnd, DeployRequest, Instance, RunRequest, Runtime } from './runtime.ts'

export type RuntimeUnderTest = {
  readonly create: () => Runtime
  readonly imageFile?: string
  /** How the guest is told to run one of the programs. */
  readonly run: (words: readonly string[]) => RunRequest
  /** A path in the guest where it may write and the requestor may transfer. */
  readonly writable: string
}

export type Finished = { readonly stdout: string; readonly stderr: string; readonly end: CommandEnd }

/** Reads both streams to their end. */
export async function finish(command: Command): Promise<Finished> {
  const [stdout, stderr, end] = await Promise.all([textOf(command.stdout), textOf(command.stderr), command.ended])
  return { stdout, stderr, end }
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

export function testRuntime(name: string, subject: RuntimeUnderTest): void {
  describe(`${name} keeps the promises of Runtime`, () => {
    let folder: string
    let runtime: Runtime
    const instances: Instance[] = []
    const deploy = async (more: Partial<DeployRequest> = {}) => {
      const request = { imageFile: subject.imageFile, folder, limits: {}, volumes: [], env: {}, network: [], ...more }
      const instance = await runtime.deploy(request)
      instances.push(instance)
      return instance
    }
    const ready = async (more: Partial<DeployRequest> = {}) => {
      const instance = await deploy(more)
      await instance.start([])
      return instance
    }
    const execute = async (instance: Instance, ...words: string[]) => finish(await instance.run(subject.run(words)))

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'emet-runtime-'))
      runtime = subject.create()
    })
    afterEach(async () => {
      await Promise.all(instances.splice(0).map((instance) => instance.stop('the test is over')))
      await rm(folder, { recursive: true, force: true })
    })

    it('offers a template and passes its own test', async () => {
      const template = await runtime.offerTemplate()
      expect(Object.keys(template.properties).every((key) => key.startsWith('golem.'))).toBe(true)
      await runtime.test()
    })

    it('runs a command and gives its output, errors and code apart', async () => {
      const instance = await ready()
      expect(await execute(instance, 'echo', 'hello', 'wide world')).toEqual({
        stdout: 'hello wide world\n',
        stderr: '',
        end: { kind: 'exited', code: 0 },
      })
      expect(await execute(instance, 'err', 'oh no')).toMatchObject({ stdout: '', stderr: 'oh no\n' })
    })

    it('propagates every exit code', async () => {
      const instance = await ready()
      for (const code of [0, 1, 7, 126]) {
        expect((await execute(instance, 'exit', String(code))).end).toEqual({ kind: 'exited', code })
      }
    })

    it('blames the guest for a trap', async () => {
      const { end } = await execute(await ready(), 'trap')
      expect(end).toMatchObject({ kind: 'trapped' })
    })

    it('passes environment variables: the command over the deployment', async () => {
      if (!runtime.capabilities.hasEnv) return
      const instance = await ready({ env: { COLOUR: 'red', SIZE: 'big' } })
      const run = (variable: string) => ({ ...subject.run(['env', variable]), env: { COLOUR: 'blue' } })
      expect((await finish(await instance.run(run('COLOUR')))).stdout).toBe('blue\n')
      expect((await finish(await instance.run(run('SIZE')))).stdout).toBe('big\n')
    })

    it('passes standard input, and an empty one by default', async () => {
      if (!runtime.capabilities.hasStdin) return
      const instance = await ready()
      async function* input() {
        yield Buffer.from('one ')
        yield Buffer.from('two')
      }
      const command = await instance.run({ ...subject.run(['cat']), stdin: input() })
      expect((await finish(command)).stdout).toBe('one two')
      expect((await execute(instance, 'cat')).stdout).toBe('')
    })

    it('shares its volumes with the host, both ways, also those asked for at deployment', async () => {
      const instance = await ready({ volumes: ['/extra/deep'] })
      for (const path of [subject.writable, '/extra/deep']) {
        await execute(instance, 'write', `${path}/from-guest`, 'hi host')
        const host = hostPath(instance, path)
        expect(await readFile(join(host, 'from-guest'), 'utf8')).toBe('hi host')
        await writeFile(join(host, 'from-host'), 'hi guest')
        expect((await execute(instance, 'cat', `${path}/from-host`)).stdout).toBe('hi guest')
      }
    })

    it('keeps volumes from one command to the next', async () => {
      const instance = await ready()
      await execute(instance, 'write', `${subject.writable}/note`, 'kept')
      expect((await execute(instance, 'cat', `${subject.writable}/note`)).stdout).toBe('kept')
    })

    it('makes the guest wait for a slow reader instead of buffering', async () => {
      const bytes = 32 * 1024 * 1024
      const instance = await ready()
      const command = await instance.run(subject.run(['spam', String(bytes)]))
      let isOver = false
      void command.ended.then(() => {
        isOver = true
      })
      const reader = command.stdout[Symbol.asyncIterator]()
      const first = await reader.next()
      let seen = first.done ? 0 : first.value.length
      // However long we wait, the guest cannot end before its output is read: pipes hold far less than 32 MiB.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(isOver).toBe(false)
      for (let next = await reader.next(); !next.done; next = await reader.next()) seen += next.value.length
      expect(seen).toBe(bytes)
      expect(await command.ended).toEqual({ kind: 'exited', code: 0 })
    })

    it('kills a command and tells why; the instance lives on', async () => {
      const instance = await ready()
      const command = await instance.run(subject.run(['sleep']))
      command.kill('the test said so')
      expect((await finish(command)).end).toEqual({ kind: 'killed', reason: 'the test said so' })
      expect((await execute(instance, 'echo', 'still here')).stdout).toBe('still here\n')
    })

    it('runs several commands at once, and refuses more than it declares', async () => {
      const instance = await ready()
      const max = runtime.capabilities.commandsAtOnceMax
      const sleepers = await Promise.all(Array.from({ length: max }, () => instance.run(subject.run(['sleep']))))
      await expect(instance.run(subject.run(['echo']))).rejects.toMatchObject({ code: 'too-many-commands' })
      for (const command of sleepers) command.kill('enough')
      const ends = await Promise.all(sleepers.map(finish))
      expect(ends.every(({ end }) => end.kind === 'killed')).toBe(true)
    })

    it('refuses an unknown entry point', async () => {
      const instance = await ready()
      await expect(instance.run({ entryPoint: 'no such thing', args: [] })).rejects.toMatchObject({
        code: 'bad-request',
      })
    })

    it('stops with commands running, twice, and takes no command after it', async () => {
      const instance = await ready()
      const command = await instance.run(subject.run(['sleep']))
      await instance.stop('time is up')
      await instance.stop('again')
      expect((await finish(command)).end).toEqual({ kind: 'killed', reason: 'time is up' })
      await expect(instance.run(subject.run(['echo']))).rejects.toMatchObject({ code: 'stopped' })
    })

    it('stays in its folder', async () => {
      const before = await readdir(tmpdir())
      const instance = await ready()
      await execute(instance, 'echo', 'x')
      await instance.stop('done')
      const after = (await readdir(tmpdir())).filter((entry) => !entry.startsWith('emet-') && !before.includes(entry))
      expect(after.filter((entry) => entry.includes(name))).toEqual([])
    })
  })
}

/** The folder on the host that the guest sees at `path`. */
export function hostPath(instance: Instance, path: string): string {
  const volume = instance.volumes
    .filter((it) => path === it.path || path.startsWith(it.path.endsWith('/') ? it.path : `${it.path}/`))
    .sort((a, b) => b.path.length - a.path.length)[0]
  if (!volume) throw new Error(`no volume at ${path}`)
  return join(volume.hostFolder, path.slice(volume.path.length))
}
