/** The examples do what they say, against `emet dev`. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSandbox, type DevNetwork, endDev, finish, HOME, type Sandbox, startDev } from './emet.ts'

let sandbox: Sandbox
let network: DevNetwork

beforeAll(async () => {
  sandbox = createSandbox()
  network = await startDev(sandbox, 2)
}, 120_000)

afterAll(async () => {
  expect(await endDev(sandbox)).toEqual([])
}, 60_000)

const runExample = (name: string) => {
  const env = { ...process.env, EMET_API_URL: network.apiUrl, EMET_APPKEY: network.appKey }
  return finish(spawn(process.execPath, [join(HOME, 'examples', name)], { cwd: sandbox.dir, env }))
}

test('hello-wasm greets from a rented machine and says the price', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await runExample('hello-wasm/hello.ts')
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/world/)
  expect(stdout).toMatch(/GLM/)
})

test('hello-many shares its items among two machines', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await runExample('hello-wasm/hello-many.ts')
  expect(code, stderr).toBe(0)
  for (const name of ['Ada', 'Barbara', 'Grace', 'Hedy', 'Karen', 'Radia', 'Sophie', 'Tova']) {
    expect(stdout).toContain(`hello ${name} from 0x`)
  }
  expect(stdout).toMatch(/^2 machines for 0\.\d+ GLM$/m)
})
