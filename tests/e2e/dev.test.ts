/** `emet dev` and what one does with it: run programs, ask, pay, stop. */
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSandbox, type DevNetwork, endDev, finish, HOME, printed, type Sandbox, startDev } from './emet.ts'

let sandbox: Sandbox
let network: DevNetwork
const PROGRAM = join(HOME, 'examples', 'path-tracer', 'path-tracer.wasm')
/** A program with many small tricks; see its source. */
const BOX = join(HOME, 'packages', 'exe-unit', 'fixtures', 'box.wasm')
const SCENE = join(HOME, 'examples', 'path-tracer', 'scenes', 'default.txt')

/** A command against the network, with its JSON answer. */
const ask = async (...args: string[]) => {
  const { code, stdout, stderr } = await sandbox.emet(...args, '--json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

beforeAll(async () => {
  sandbox = createSandbox()
  network = await startDev(sandbox, 2)
}, 120_000)

afterAll(async () => {
  expect(await endDev(sandbox)).toEqual([])
}, 60_000)

test('emet run runs a program on a stranger’s machine, fetches its output and says the price', {
  timeout: 120_000,
}, async () => {
  const args = [
    '--scene',
    '/input/default.txt',
    '--width',
    '64',
    '--height',
    '40',
    '--samples',
    '1',
    '--out',
    '/output/a.ppm',
  ]
  const { code, stdout, stderr } = await sandbox.emet('run', PROGRAM, '--in', SCENE, '--out', 'a.ppm', '--', ...args)
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/progress 100/)
  expect(readFileSync(join(sandbox.dir, 'a.ppm')).subarray(0, 12).toString('latin1')).toMatch(/^P6\s+64\s+40/)
  expect(stderr).toMatch(/[\d.]+ GLM for [\d.]+ s on provider-\d/)
})

test('emet run exits with the program’s exit code, and shows its stderr', { timeout: 120_000 }, async () => {
  const { code, stderr } = await sandbox.emet('run', PROGRAM, '--', '--scene', '/input/none.txt', '--out', '/output/x')
  expect(code).toBe(2)
  expect(stderr).toMatch(/scene|none\.txt/)
})

test('what is no program is refused at once, with the reason, and costs next to nothing', {
  timeout: 60_000,
}, async () => {
  const file = join(sandbox.dir, 'not.wasm')
  writeFileSync(file, 'this is no module')
  const { code, stderr } = await sandbox.emet('run', file)
  expect(code).toBe(1)
  expect(stderr).toMatch(/emet: deploy failed: .* neither a WebAssembly module nor a zip/)
  expect(stderr).toMatch(/fault +what was asked for \(phase deploy\)\n +spent +[\d.]+ GLM\n +hint +\w/)
  const { stderr: json } = await sandbox.emet('run', file, '--quiet', '--json')
  expect(JSON.parse(json).error).toMatchObject({
    code: 'image.invalid',
    blame: 'user',
    retryable: false,
    phase: 'deploy',
  })
  expect(JSON.parse(json).error.transcript).toHaveLength(1)
})

test('a wrong order is found before anything is rented', { timeout: 60_000 }, async () => {
  const orders: [RegExp, ...string[]][] = [
    [/no-such\.txt cannot be read: it does not exist/, BOX, '--in', 'no-such.txt'],
    [/no-such\.wasm cannot be read/, 'no-such.wasm'],
    [/--out: no-such-folder\/a cannot be written/, BOX, '--out', 'no-such-folder/a'],
    [/a\/x and b\/x would both be called x/, BOX, '--out', 'a/x', '--out', 'b/x'],
    [/--budget: "much" is no amount/, BOX, '--budget', 'much'],
    [/--timeout: "-1" is no number/, BOX, '--timeout=-1'],
  ]
  const results = await Promise.all(orders.map(([, ...args]) => sandbox.emet('run', ...args)))
  for (const [at, { code, stderr }] of results.entries()) {
    expect(stderr).toMatch(orders[at]?.[0] as RegExp)
    expect(stderr).not.toContain('looking')
    expect(code).toBe(1)
  }
  const unknown = await sandbox.emet('run', BOX, 'echo', '--loud')
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining("the program's own options go after --") })
})

test('a budget that pays for nothing is told, and nothing is rented', { timeout: 60_000 }, async () => {
  const { code, stderr } = await sandbox.emet('run', BOX, '--budget', '0.000000001', '--', 'echo', 'hi')
  expect(code).toBe(1)
  expect(stderr).toMatch(/all offers are above the budget \(2 providers\)/)
  expect(stderr).toMatch(/spent +0 GLM/)
})

test('options after -- are the program’s own, and its input is empty', { timeout: 60_000 }, async () => {
  const words = ['--in', '-x', '--json', '--help', '']
  expect((await sandbox.emet('run', '--quiet', BOX, '--', 'echo', ...words)).stdout).toBe(`${words.join(' ')}\n`)
  expect(await sandbox.emet('run', '--quiet', BOX, 'cat')).toEqual({ code: 0, stdout: '', stderr: '' })
})

test('long output comes whole, and a file that was not written is named, after paying', {
  timeout: 120_000,
}, async () => {
  const { code, stdout, stderr } = await sandbox.emet('run', BOX, '--out', 'none.txt', '--', 'spam', '5000000')
  expect([stdout.length, stdout.replaceAll('x', '')]).toEqual([5_000_000, ''])
  expect(stderr).toMatch(/[1-9]\d* GLM for [\d.]+ s on provider-\d\n/)
  expect(stderr).toMatch(/emet: the program ended with code 0 and has not written \/output\/none\.txt/)
  expect(code).toBe(1)
  expect(existsSync(join(sandbox.dir, 'none.txt'))).toBe(false)
})

/** What costs money and has not ended. */
const openThings = async () => {
  const [demands, allocations, activities] = await Promise.all([
    ask('market', 'demands'),
    ask('payment', 'allocations'),
    ask('activity', 'list'),
  ])
  const states = activities.map(({ agreementState, state }: { agreementState: string; state: string[] }) => {
    return `${agreementState} ${state[0]}`
  })
  return { demands, allocations, states: [...new Set(states)] }
}
const NOTHING_OPEN = { demands: [], allocations: [], states: ['Terminated Terminated'] }

test('Ctrl-C while looking, sending or running ends within 2 s, ends what costs, and says how much that was', {
  timeout: 120_000,
}, async () => {
  const big = join(sandbox.dir, 'big')
  writeFileSync(big, '')
  truncateSync(big, 2 ** 32)
  const phases: [string, RegExp, ...string[]][] = [
    ['looking', /interrupted: nothing was rented, 0 GLM spent/, '--subnet', 'nobody-here'],
    ['sending', /interrupted: the rental is ended, [\d.]+ GLM spent/, '--in', big],
    ['running on', /interrupted: the rental is ended, [\d.]+ GLM spent/],
  ]
  for (const [marker, told, ...flags] of phases) {
    const child = sandbox.start('run', BOX, ...flags, '--', 'sleep')
    const finished = finish(child)
    await printed(child, marker)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const beganMs = performance.now()
    child.kill('SIGINT')
    const { code, stderr } = await finished
    expect(performance.now() - beganMs, marker).toBeLessThan(2_000)
    expect(stderr).toMatch(told)
    expect(code).toBe(130)
  }
  expect(await openThings()).toEqual(NOTHING_OPEN)
})

test('two run at the same time, and a third waits until one of them ends', { timeout: 120_000 }, async () => {
  const two = [sandbox.start('run', BOX, 'sleep'), sandbox.start('run', BOX, 'sleep')] as const
  const ends = two.map(finish)
  await Promise.all(two.map((child) => printed(child, 'running on')))
  const impatient = await sandbox.emet('run', BOX, '--wait', '1', '--', 'echo', 'hi')
  expect(impatient.code).toBe(1)
  expect(impatient.stderr).toMatch(/but none agreed within 1 s|no offer fits within 1 s/)
  const third = sandbox.start('run', '--quiet', BOX, 'echo', 'at last')
  const ended = finish(third)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  two[0].kill('SIGINT')
  expect(await ended).toMatchObject({ code: 0, stdout: 'at last\n' })
  two[1].kill('SIGINT')
  expect((await Promise.all(ends)).map(({ code }) => code)).toEqual([130, 130])
  expect(await openThings()).toEqual(NOTHING_OPEN)
})

test('dev status finds the network, and a second dev does not start another', async () => {
  const { code, stdout } = await sandbox.emet('dev', 'status', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(stdout).nodeId).toBe(network.nodeId)
  const again = await sandbox.emet('dev')
  expect(again.stdout).toMatch(/running already/)
})

test('every query answers in JSON', { timeout: 120_000 }, async () => {
  const providerId = network.providers[0]?.nodeId
  expect(await ask('status')).toMatchObject({ nodeId: network.nodeId, health: 'ok' })
  expect(await ask('id', 'list')).toEqual([expect.objectContaining({ nodeId: network.nodeId, isDefault: true })])
  expect(await ask('market', 'offers')).toContainEqual(expect.objectContaining({ providerId }))
  expect(await ask('net', 'peers')).toContainEqual(
    expect.objectContaining({ state: 'connected', roles: ['relay', 'index'] }),
  )
  expect(await ask('payment', 'status')).toMatchObject({ network: 'hoodi' })
  expect((await ask('payment', 'networks')).map(({ network }: { network: string }) => network)).toContain('holesky')
  const lists = [
    ...['invoices', 'debit-notes', 'allocations', 'payments'].map((query) => ['payment', query]),
    ...['demands', 'agreements'].map((query) => ['market', query]),
    ['activity', 'list'],
  ]
  for (const answer of await Promise.all(lists.map((words) => ask(...words)))) expect(answer).toBeInstanceOf(Array)
  expect(await ask('config', 'show')).toContainEqual(expect.objectContaining({ setting: 'apiUrl' }))
})

test('app keys are made, work, and stop working when dropped', { timeout: 60_000 }, async () => {
  const key = await ask('app-key', 'create', 'tester')
  expect(key).toMatch(/^[0-9a-f]{32}$/)
  expect(await ask('app-key', 'list')).toContainEqual(expect.objectContaining({ name: 'tester', key }))
  await ask('app-key', 'drop', 'tester')
  expect((await ask('app-key', 'list')).map(({ name }: { name: string }) => name)).not.toContain('tester')
})

test('errors say what to do', async () => {
  const { code, stderr } = await sandbox.emet('id', 'lock', 'nonsense')
  expect(code).toBe(1)
  expect(stderr).toMatch(/"nonsense" is not a node id/)
  const unknown = await sandbox.emet('net', 'connect', '/ip4/127.0.0.1/tcp/1')
  expect(unknown.code).toBe(1)
  const wrong = await sandbox.emet('frobnicate')
  expect(wrong.code).toBe(2)
})
