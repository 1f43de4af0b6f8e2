import { createHash } from 'node:crypto'
import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bus, type Caller, createBus, ReplyError } from '@emet/bus'
import { nodeId, readFault, silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AgreementTerms, parseAgreement } from './agreement.ts'
import type { CommandResult } from './batch.ts'
import type { RuntimeEvent } from './events.ts'
import { createLinuxMeter } from './linux-meter.ts'
import type { Runtime } from './runtime.ts'
import { createMockRuntime } from './runtimes/mock/index.ts'
import { createWasmRuntime } from './runtimes/wasm/index.ts'
import { createSupervisor, type Supervisor, type SupervisorOptions } from './supervisor.ts'
import { createTransfers } from './transfer/index.ts'
import type { Meter } from './usage.ts'

const REQUESTOR = nodeId(`0x${'11'.repeat(20)}`)
const PROVIDER = nodeId(`0x${'22'.repeat(20)}`)
const STRANGER = nodeId(`0x${'33'.repeat(20)}`)
const ACTIVITY = 'a1'
const BOX = fileURLToPath(new URL('../fixtures/box.wasm', import.meta.url))
const STREAM = { stdout: { stream: {} }, stderr: { stream: {} } }

const quietMeter: Meter = {
  processes: async () => ({ cpuSec: 1.5, memoryBytes: 2 ** 29, guestMemoryBytes: 2 ** 20 }),
  folderBytes: async () => 2 ** 28,
}

describe('the supervisor', () => {
  let folder: string
  let bus: Bus
  let supervisor: Supervisor
  let states: { state: unknown; reason: string | null }[]
  let usages: number[][]
  const clock = systemClock

  const terms = (more: Record<string, unknown> = {}): AgreementTerms =>
    parseAgreement({
      agreementId: 'agreement',
      demand: { requestorId: REQUESTOR, properties: { 'golem.srv.comp.task_package': imageUrl, ...more } },
      offer: {
        providerId: PROVIDER,
        properties: {
          golem: { com: { usage: { vector: ['golem.usage.cpu_sec', 'golem.usage.duration_sec', 'x.y'] } } },
        },
      },
    })
  let imageUrl = ''

  const startWith = async (runtime: Runtime, options: Partial<SupervisorOptions> = {}, meter: Meter = quietMeter) => {
    const deps = { bus, clock, random: systemRandom, logger: silentLogger }
    const transfers = createTransfers(deps, { cacheDir: join(folder, 'cache'), allowPrivateHosts: false })
    supervisor = createSupervisor(
      { ...deps, runtime, transfers, meter },
      { activityId: ACTIVITY, reportUrl: '/local/activity', terms: terms(), workDir: join(folder, 'work'), ...options },
    )
    await supervisor.start()
  }
  const asRequestor: Caller = { kind: 'peer', nodeId: REQUESTOR }
  const call = (message: string, body: Record<string, unknown>, caller = asRequestor) =>
    bus.call(`/public/exeunit/${ACTIVITY}/${message}`, { activityId: ACTIVITY, ...body }, { caller })
  const exec = (batchId: string, exeScript: unknown) => call('Exec', { batchId, exeScript, timeout: null })
  const results = (batchId: string, more: Record<string, unknown> = {}) =>
    call('GetExecBatchResults', { batchId, timeout: 15, ...more }) as Promise<CommandResult[]>
  const execute = async (batchId: string, script: unknown) => {
    await exec(batchId, script)
    return results(batchId)
  }
  const eventsOf = async (batchId: string) => {
    const body = { activity_id: ACTIVITY, batch_id: batchId }
    const events: RuntimeEvent[] = []
    for await (const event of bus.stream(`/public/exeunit/${ACTIVITY}/StreamExecBatchResults`, body, {
      caller: asRequestor,
    })) {
      events.push(event as RuntimeEvent)
    }
    return events
  }
  const run = (entry_point: string, args: string[], more: Record<string, unknown> = {}) => ({
    run: { entry_point, args, capture: null, ...more },
  })
  const READY = [{ deploy: {} }, { start: { args: [] } }]

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-supervisor-'))
    bus = createBus({ clock, logger: silentLogger })
    states = []
    usages = []
    bus.bind('/local/activity/SetActivityState', async ({ body }) => {
      states.push((body.value() as { state: (typeof states)[0] }).state)
      return null
    })
    bus.bind('/local/activity/SetActivityUsage', async ({ body }) => {
      usages.push((body.value() as { usage: { currentUsage: number[] } }).usage.currentUsage)
      return null
    })
    const image = await readFile(BOX)
    const name = createHash('sha3-256').update(image).digest('hex')
    imageUrl = `hash:sha3:${name}:gftp://${REQUESTOR}/${name}`
    const files = `/transfer/net/${REQUESTOR}/gftp/${name}`
    bus.bind(`${files}/GetMetadata`, async () => ({ fileSize: image.length }))
    bus.bind(`${files}/GetChunk`, async ({ body }) => {
      const { offset, size } = body.value() as { offset: number; size: number }
      return { offset, content: image.subarray(offset, offset + size) }
    })
  })
  afterEach(async () => {
    await supervisor?.stop('the test is over')
    bus.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('goes through its states, reports each, and leaves nothing behind', async () => {
    await startWith(createMockRuntime())
    expect(await execute('b1', [...READY, run('echo', ['hi'], { capture: STREAM })])).toMatchObject([
      { index: 0, result: 'Ok', isBatchFinished: false },
      { index: 1, result: 'Ok', isBatchFinished: false },
      { index: 2, result: 'Ok', isBatchFinished: true, stdout: 'hi\n', stderr: null, message: null },
    ])
    await supervisor.stop('the agent said so')
    expect(states.at(-1)).toMatchObject({ state: ['Terminated', null] })
    expect(states.at(-1)?.reason).toBe(
      'the agent said so: {"batches_done":1,"batches_pending":0,"cmds_done":3,"cmds_pending":0}',
    )
    expect(usages[0]).toHaveLength(3)
    await expect(access(join(folder, 'work'))).rejects.toThrow()
  })

  it('runs no more programs at once than the agreement grants threads', async () => {
    const sleeping = async (cpuThreads: number) => {
      await startWith(createMockRuntime(), { terms: { ...terms(), cpuThreads } })
      await execute('ready', READY)
      await exec('long', [run('sleep', [])])
      await exec('short', [run('echo', [])])
      return results('short', { timeout: 0.2 })
    }
    expect(await sleeping(1), 'it waits').toEqual([])
    expect((await execute('end', [{ terminate: {} }]))[0], 'and does not keep the activity from ending').toMatchObject({
      result: 'Ok',
    })
    await supervisor.stop('once more')
    expect(await sleeping(2)).toMatchObject([{ result: 'Ok' }])
  })

  it('serves the requestor of the agreement and nobody else', async () => {
    await startWith(createMockRuntime())
    const refusal = { data: { forbidden: expect.stringContaining(STRANGER) } }
    for (const message of [
      'Exec',
      'GetExecBatchResults',
      'GetActivityState',
      'GetActivityUsage',
      'GetRunningCommand',
    ]) {
      await expect(call(message, {}, { kind: 'peer', nodeId: STRANGER }), message).rejects.toMatchObject(refusal)
      await expect(call(message, {}, { kind: 'peer', nodeId: PROVIDER }), message).rejects.toMatchObject({
        data: { forbidden: expect.any(String) },
      })
    }
    await expect(call('GetActivityState', { activityId: 'other' })).rejects.toMatchObject({
      data: { forbidden: 'Forbidden! Invalid activity id' },
    })
    expect(await call('GetActivityState', {})).toMatchObject({ state: ['Initialized', null] })
  })

  it('answers wrong messages with what is wrong, and changes nothing', async () => {
    await startWith(createMockRuntime())
    const bad = (text: string) => ({ data: { badRequest: expect.stringContaining(text) } })
    await expect(exec('b', { deploy: {} })).rejects.toMatchObject(bad('array'))
    await expect(exec('b', [{ dance: {} }])).rejects.toMatchObject(bad('command 0 is "dance"'))
    await expect(exec('b', [{ deploy: {} }, { run: { args: [] } }])).rejects.toMatchObject(
      bad('command 1 (run): entry_point'),
    )
    await exec('b', [])
    await expect(exec('b', [])).rejects.toMatchObject(bad('exists already'))
    await expect(results('nothing')).rejects.toMatchObject({ data: { notFound: expect.any(String) } })
    expect(await results('b')).toEqual([])
    expect(supervisor.state().state).toEqual(['Initialized', null])
  })

  it('refuses commands out of order with the published words, and goes on after a failure', async () => {
    await startWith(createMockRuntime())
    expect((await execute('b1', [run('echo', [])]))[0]?.message).toContain('deploy() command is expected now')
    expect((await execute('b2', [{ start: {} }]))[0]?.message).toContain('deploy() command is expected now')
    expect((await execute('b3', [{ deploy: {} }, run('echo', [])]))[1]?.message).toContain(
      'start() command is expected now',
    )
    expect((await execute('b4', [{ start: {} }, { deploy: {} }]))[1]?.message).toContain('after a successful start()')
    const [failed, ...rest] = await execute('b5', [run('exit', ['7']), run('echo', [])])
    expect(failed).toMatchObject({
      result: 'Error',
      message: 'ExeScript command exited with code 7',
      isBatchFinished: true,
    })
    expect(rest).toEqual([])
    expect((await execute('b6', [run('echo', ['on'], { capture: STREAM })]))[0]?.stdout).toBe('on\n')
  })

  it('a failed deployment leaves the state as it was, and may be tried again', async () => {
    await startWith(createMockRuntime({ failing: 'deploy' }))
    expect((await execute('b1', READY))[0]).toMatchObject({
      result: 'Error',
      message: expect.stringContaining('deploy'),
    })
    expect(supervisor.state().state).toEqual(['Initialized', null])
  })

  it('marks a failure whose cause is the requestor, in words that fit the published result', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    const from = 'container:/nowhere/at-all'
    const [result] = await execute('b1', [{ transfer: { from, to: 'container:/work/x' } }])
    expect(result).toMatchObject({
      result: 'Error',
      message: expect.stringMatching(/^\[(bad-request|not-found)\] \w+/),
    })
    expect(readFault(result?.message ?? '').fault).toBeDefined()
  })

  it('keeps output as asked: parts, formats, or not at all', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    const kept = async (id: string, mode: unknown) =>
      (await execute(id, [run('echo', ['0123456789'], { capture: mode && { stdout: mode } })]))[0]?.stdout
    expect(await kept('1', null)).toBeNull()
    expect(await kept('2', { atEnd: {} })).toBe('0123456789\n')
    expect(await kept('3', { atEnd: { head: 4 } })).toBe('0123')
    expect(await kept('4', { atEnd: { tail: 4 } })).toBe('789\n')
    expect(await kept('5', { atEnd: { headTail: 5 } })).toBe('0129\n')
    expect(await kept('6', { atEnd: { part: { head: 2 }, format: 'string' } })).toBe('01')
    expect(await kept('7', { stream: { limit: 3, format: 'bin' } })).toEqual([48, 49, 50])
    expect((await execute('8', [run('spam', ['9000000'], { capture: { stdout: { atEnd: {} } } })]))[0]).toMatchObject({
      result: 'Ok',
      message: expect.stringContaining('5067840 bytes of output were not kept'),
    })
  })

  it('tells events from the start to whoever asks, and ends the stream with the batch', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    await exec('b1', [run('echo', ['one'], { capture: STREAM }), run('err', ['two'], { capture: STREAM })])
    const [early, ...more] = await Promise.all([eventsOf('b1'), results('b1')])
    expect(more).toHaveLength(1)
    const late = await eventsOf('b1')
    expect(late).toEqual(early)
    expect(late.map(({ index, kind }) => [index, Object.keys(kind)[0]])).toEqual([
      [0, 'started'],
      [0, 'stdout'],
      [0, 'finished'],
      [1, 'started'],
      [1, 'stderr'],
      [1, 'finished'],
    ])
    expect(late[0]).toMatchObject({
      batch_id: 'b1',
      kind: { started: { command: run('echo', ['one'], { capture: STREAM }) } },
    })
    expect(late[0]?.timestamp).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}$/)
  })

  it('waits for one command by index, names the running one, and gives partial results', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    await exec('b1', [run('echo', ['x'], { capture: STREAM }), run('sleep', [])])
    expect(await results('b1', { commandIndex: 0 })).toMatchObject([
      { index: 0, stdout: 'x\n', isBatchFinished: false },
    ])
    expect(await results('b1', { timeout: 0 })).toHaveLength(1)
    await expect(results('b1', { timeout: 0.01, commandIndex: 1 })).rejects.toThrow(ReplyError)
    expect(await call('GetRunningCommand', {})).toEqual([{ command: 'Run', progress: null, params: ['sleep'] }])
    expect(supervisor.state().state).toEqual(['Ready', 'Ready'])
  })

  it('runs batches side by side where the runtime can', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    await exec('b1', [run('sleep', [])])
    expect((await execute('b2', [run('echo', ['beside'], { capture: STREAM })]))[0]?.stdout).toBe('beside\n')
    expect((await execute('b3', [{ deploy: {} }]))[0]).toMatchObject({
      result: 'Error',
      message: expect.stringContaining('Busy'),
    })
  })

  it('starts anew after a terminate command, which ends what runs', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    await exec('b1', [run('sleep', []), run('echo', [])])
    expect((await execute('b2', [{ terminate: {} }]))[0]?.result).toBe('Ok')
    expect(await results('b1')).toMatchObject([{ result: 'Error', message: expect.stringContaining('terminate') }])
    expect(supervisor.state().state).toEqual(['Initialized', null])
    expect((await execute('b4', [...READY, run('echo', ['again'], { capture: STREAM })]))[2]?.stdout).toBe('again\n')
  })

  it('ends when the storage, the memory or the time of the agreement is used up, and says which', async () => {
    const full: Meter = { ...quietMeter, folderBytes: async () => 3 * 2 ** 30 }
    await startWith(createMockRuntime(), { terms: { ...terms(), storageBytes: 2 ** 30 } }, full)
    expect(await supervisor.ended).toContain('golem.usage.storage_gib: 3.000 GiB, the agreement grants 1.000 GiB')
    await supervisor.stop(await supervisor.ended)
    expect(states.at(-1)?.reason).toContain('Usage limit exceeded')
    await startWith(createMockRuntime(), { terms: { ...terms(), expiresAtMs: 1 } })
    expect(await supervisor.ended).toBe('the agreement has expired')
  })

  it('ends running commands when it is stopped, and tells their waiters', async () => {
    await startWith(createMockRuntime())
    await execute('b0', READY)
    await exec('b1', [run('sleep', [])])
    const waiting = results('b1')
    await supervisor.stop('received SIGTERM')
    expect(await waiting).toMatchObject([{ result: 'Error', message: expect.stringContaining('received SIGTERM') }])
  })

  it('runs a real program in the jail: image by gftp, transfers, output, usage', async () => {
    await startWith(createWasmRuntime({ clock }), {}, createLinuxMeter(process.pid))
    const source = Buffer.from('a scene')
    const uploaded: Buffer[] = []
    const scene = `/transfer/net/${REQUESTOR}/gftp/${createHash('sha3-256').update(source).digest('hex')}`
    bus.bind(`${scene}/GetMetadata`, async () => ({ fileSize: source.length }))
    bus.bind(`${scene}/GetChunk`, async () => ({ offset: 0, content: new Uint8Array(source) }))
    bus.bind(`/transfer/net/${REQUESTOR}/gftp/slot/UploadChunk`, async ({ body }) => {
      uploaded.push(Buffer.from((body.value() as { chunk: { content: Uint8Array } }).chunk.content))
      return null
    })
    bus.bind(`/transfer/net/${REQUESTOR}/gftp/slot/UploadFinished`, async () => null)
    const all = await execute('b1', [
      ...READY,
      { transfer: { from: `gftp://${REQUESTOR}/${scene.split('/').at(-1)}`, to: 'container:/input/scene.txt' } },
      run('main', ['cat', '/input/scene.txt'], { capture: STREAM }),
      run('main', ['write', '/output/picture', 'pixels']),
      { transfer: { from: 'container:/output/picture', to: `gftp://${REQUESTOR}/slot` } },
      run('main', ['exit', '9'], { capture: STREAM }),
    ])
    expect(all.map(({ result }) => result)).toEqual(['Ok', 'Ok', 'Ok', 'Ok', 'Ok', 'Ok', 'Error'])
    expect(all[3]?.stdout).toBe('a scene')
    expect(Buffer.concat(uploaded).toString()).toBe('pixels')
    expect(all[6]?.message).toBe('ExeScript command exited with code 9')
    const usage = (await call('GetActivityUsage', {})) as { currentUsage: number[]; timestamp: number }
    expect(usage.currentUsage[0]).toBeGreaterThan(0)
    expect(usage.currentUsage[2]).toBe(0)
  })
})
