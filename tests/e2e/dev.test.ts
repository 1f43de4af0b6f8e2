/** `emet dev` and what one does with it: run programs, ask, pay, stop. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSandbox, HOME, type Sandbox } from './emet.ts'

let sandbox: Sandbox
let network: { nodeId: string; providers: { nodeId: string }[] }
const PROGRAM = join(HOME, 'examples', 'path-tracer', 'path-tracer.wasm')
const SCENE = join(HOME, 'examples', 'path-tracer', 'scenes', 'default.txt')

/** A command against the network, with its JSON answer. */
const ask = async (...args: string[]) => {
  const { code, stdout, stderr } = await sandbox.emet(...args, '--json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

beforeAll(async () => {
  sandbox = createSandbox()
  const { code, stdout, stderr } = await sandbox.emet(
    'dev',
    '--json',
    '--providers',
    '1',
    '--api-url',
    'http://127.0.0.1:0',
  )
  expect(code, stderr).toBe(0)
  network = JSON.parse(stdout)
}, 120_000)

afterAll(async () => {
  await sandbox.emet('dev', 'stop')
  expect(sandbox.leftovers()).toEqual([])
  sandbox.remove()
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
  expect(stderr).toMatch(/[\d.]+ GLM for [\d.]+ s on provider-1/)
})

test('emet run exits with the program’s exit code, and shows its stderr', { timeout: 120_000 }, async () => {
  const { code, stderr } = await sandbox.emet('run', PROGRAM, '--', '--scene', '/input/none.txt', '--out', '/output/x')
  expect(code).toBe(2)
  expect(stderr).toMatch(/scene|none\.txt/)
})

test('what is no program is refused with the reason', { timeout: 120_000 }, async () => {
  const file = join(sandbox.dir, 'not.wasm')
  writeFileSync(file, 'this is no module')
  const { code, stderr } = await sandbox.emet('run', file)
  expect(code).toBe(1)
  expect(stderr).toMatch(/not\.wasm|module|magic/i)
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
  expect(await ask('market', 'offers')).toEqual([expect.objectContaining({ providerId })])
  expect(await ask('net', 'peers')).toContainEqual(
    expect.objectContaining({ state: 'connected', roles: ['relay', 'index'] }),
  )
  expect(await ask('payment', 'status')).toMatchObject({ network: 'hoodi' })
  expect((await ask('payment', 'networks')).map(({ network }: { network: string }) => network)).toContain('holesky')
  for (const query of ['invoices', 'debit-notes', 'allocations', 'payments'])
    expect(await ask('payment', query)).toBeInstanceOf(Array)
  for (const query of ['demands', 'agreements']) expect(await ask('market', query)).toBeInstanceOf(Array)
  expect(await ask('activity', 'list')).toBeInstanceOf(Array)
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
