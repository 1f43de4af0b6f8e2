import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Bus, createBus } from '@emet/bus'
import { type BusServer, createBusServer } from '@emet/bus/socket'
import { nodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CommandResult } from './batch.ts'
import { launchCommand, offerTemplateSchema, queryCommand, wasmDescriptor } from './protocol.ts'

const BOX = fileURLToPath(new URL('../fixtures/box.wasm', import.meta.url))
const REQUESTOR = nodeId(`0x${'11'.repeat(20)}`)
const ACTIVITY = 'f00d'

describe('the exe-unit as a process', () => {
  const descriptor = wasmDescriptor(process.execPath)
  let folder: string
  let bus: Bus
  let server: BusServer
  let states: string[]
  let onState = () => {}

  const openDaemon = async () => {
    bus = createBus({ clock: systemClock, logger: silentLogger })
    bus.bind('/local/activity/SetActivityState', async ({ body }) => {
      states.push((body.value() as { state: { state: [string] } }).state.state.join('>'))
      onState()
      return null
    })
    bus.bind('/local/activity/SetActivityUsage', async () => null)
    const image = await readFile(BOX)
    const files = `/transfer/net/${REQUESTOR}/gftp/${sha3(image)}`
    bus.bind(`${files}/GetMetadata`, async () => ({ fileSize: image.length }))
    bus.bind(`${files}/GetChunk`, async ({ body }) => {
      const { offset, size } = body.value() as { offset: number; size: number }
      return { offset, content: image.subarray(offset, offset + size) }
    })
    const deps = { bus, clock: systemClock, random: systemRandom, logger: silentLogger }
    server = createBusServer(deps, { url: `unix:${join(folder, 'bus.sock')}` })
    await server.start()
  }
  const sha3 = (bytes: Uint8Array) => createHash('sha3-256').update(bytes).digest('hex')
  const seen = async (state: string) => {
    while (!states.includes(state)) {
      await new Promise<void>((resolve) => {
        onState = resolve
      })
    }
  }
  const call = (message: string, body: Record<string, unknown>) =>
    bus.call(`/public/exeunit/${ACTIVITY}/${message}`, { activityId: ACTIVITY, ...body })
  const execute = async (batchId: string, exeScript: unknown[]) => {
    await call('Exec', { batchId, exeScript, timeout: null })
    return (await call('GetExecBatchResults', { batchId, timeout: 20, commandIndex: null })) as CommandResult[]
  }
  const launch = async () => {
    const agreementFile = join(folder, 'agreement.json')
    const image = await readFile(BOX)
    await writeFile(
      agreementFile,
      JSON.stringify({
        agreementId: 'x',
        demand: {
          requestorId: REQUESTOR,
          properties: {
            golem: { srv: { comp: { task_package: `hash:sha3:${sha3(image)}:gftp://${REQUESTOR}/${sha3(image)}` } } },
          },
        },
        offer: { properties: { golem: { inf: { mem: { gib: 0.5 }, storage: { gib: 0.1 } } } } },
      }),
    )
    const [program, args] = launchCommand(descriptor, {
      ...{ activityId: ACTIVITY, agreementFile, busUrl: server.url },
      ...{ workDir: join(folder, 'work'), cacheDir: join(folder, 'cache') },
    })
    return spawn(program, args, { stdio: 'ignore', cwd: folder })
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-main-'))
    states = []
    await openDaemon()
  })
  afterEach(async () => {
    await server.stop()
    bus.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('prints its offer template and passes its test; says what is wrong with its arguments', async () => {
    const ask = async (query: 'offer-template' | 'test') => promisify(execFile)(...queryCommand(descriptor, query))
    const template = offerTemplateSchema.parse(JSON.parse((await ask('offer-template')).stdout))
    expect(template.properties['golem.com.usage.vector']).toContain('golem.usage.cpu_sec')
    expect((await ask('test')).stdout).toContain('wasmtime')
    const [program, args] = queryCommand(descriptor, 'test')
    await expect(promisify(execFile)(program, [...args, '--nonsense'])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--nonsense'),
    })
    await expect(promisify(execFile)(program, [...descriptor.args, 'service-bus', 'a', 'b'])).rejects.toMatchObject({
      stderr: expect.stringContaining('-a AGREEMENT'),
    })
  })

  it('serves an activity over the socket, outlives the daemon, and ends cleanly at SIGTERM', async () => {
    const child = await launch()
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    await seen('Initialized>')
    const capture = { stdout: { stream: {} } }
    const echo = (text: string) => ({ run: { entry_point: 'main', args: ['echo', text], capture } })
    expect((await execute('b1', [{ deploy: {} }, { start: {} }, echo('first')]))[2]).toMatchObject({
      stdout: 'first\n',
    })

    // The daemon goes and comes back: the activity is where it was, and says so again.
    await server.stop()
    bus.close()
    states = []
    await openDaemon()
    await seen('Ready>')
    states = []
    const again = async (): Promise<CommandResult[]> =>
      execute('b2', [echo('second')]).catch(() => new Promise((resolve) => setImmediate(() => resolve(again()))))
    expect((await again())[0]).toMatchObject({ stdout: 'second\n' })
    await seen('Ready>')

    await call('Exec', { batchId: 'b3', exeScript: [{ run: { entry_point: 'main', args: ['spin'] } }], timeout: null })
    await seen('Ready>Ready')
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(states.at(-1)).toBe('Terminated>')
    await expect(access(join(folder, 'work'))).rejects.toThrow()
    expect(await processesThatMention(folder)).toEqual([])
  })

  it('leaves no process when it is killed', async () => {
    const child = await launch()
    const exited = new Promise((resolve) => child.once('exit', resolve))
    await seen('Initialized>')
    await call('Exec', {
      batchId: 'b1',
      exeScript: [{ deploy: {} }, { start: {} }, { run: { entry_point: 'main', args: ['spin'] } }],
      timeout: null,
    })
    await seen('Ready>Ready')
    child.kill('SIGKILL')
    await exited
    for (let left = await processesThatMention(folder); left.length > 0; left = await processesThatMention(folder)) {
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
})

/** Command lines of living processes that name the folder. */
async function processesThatMention(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(folder))
}
