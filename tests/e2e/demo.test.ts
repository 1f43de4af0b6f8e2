/** The main job, as `emet demo` does it: real processes, a real chain, a real program in its jail. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSandbox, type Sandbox } from './emet.ts'

let sandbox: Sandbox
beforeEach(() => {
  sandbox = createSandbox()
})
afterEach(() => sandbox.remove())

const PNG_SIGNATURE = '89504e470d0a1a0a'
/** Amounts are integers beyond 2^53: read them as text. */
const parseExactly = (json: string) => JSON.parse(json.replace(/:(\d{10,})/g, ':"$1"'))

test('rents, renders, pays, and the sums agree with the chain', { timeout: 180_000 }, async () => {
  const size = ['--width', '320', '--height', '200', '--samples', '2']
  const { code, stdout, stderr } = await sandbox.emet('demo', '--json', '--providers', '2', ...size)
  expect(code, stderr).toBe(0)
  const result = parseExactly(stdout.trim().split('\n').at(-1) as string)

  const png = readFileSync(result.image)
  expect(png.subarray(0, 8).toString('hex')).toBe(PNG_SIGNATURE)
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([320, 200])

  expect(result.providers).toHaveLength(2)
  const { before, after } = result.chain
  let paid = 0n
  for (const provider of result.providers) {
    expect(BigInt(after[provider.nodeId]) - BigInt(before[provider.nodeId])).toBe(BigInt(provider.paid))
    expect(BigInt(provider.paid)).toBeGreaterThan(0n)
    expect(provider.paid).toBe(provider.agreed)
    expect(provider.tiles).toBeGreaterThan(0)
    expect(provider.transaction).toMatch(/^0x[0-9a-f]{64}$/)
    paid += BigInt(provider.paid)
  }
  const requestor = Object.keys(before).find((id) => !result.providers.some((p: { nodeId: string }) => p.nodeId === id))
  expect(BigInt(before[requestor as string]) - BigInt(after[requestor as string])).toBe(paid)
  expect(result.providers.reduce((sum: number, { tiles }: { tiles: number }) => sum + tiles, 0)).toBe(4)

  expect(sandbox.leftovers()).toEqual([])
  expect(readdirSync(sandbox.dir).filter((name) => name.startsWith('emet-demo-') && !name.endsWith('.png'))).toEqual([])
})

test('Ctrl-C ends it, and leaves nothing', { timeout: 120_000 }, async () => {
  const child = sandbox.start('demo', '--providers', '1', '--samples', '400')
  let stderr = ''
  const rented = new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk) => {
      stderr += chunk
      if (stderr.includes('renting')) resolve()
    })
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  await rented
  child.kill('SIGINT')
  expect(await ended).toBe(130)
  expect(sandbox.leftovers()).toEqual([])
  expect(readdirSync(sandbox.dir).filter((name) => name.startsWith('emet-demo'))).toEqual([])
})

test('a scene that does not exist is named before anything starts', async () => {
  const { code, stderr } = await sandbox.emet('demo', '--scene', join(sandbox.dir, 'no-such-scene.txt'))
  expect(code).toBe(1)
  expect(stderr).toMatch(/no-such-scene\.txt cannot be read/)
})
