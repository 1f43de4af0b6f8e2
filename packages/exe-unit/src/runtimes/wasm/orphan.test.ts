import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWasmRuntime } from './index.ts'

const BOX = fileURLToPath(new URL('../../../fixtures/box.wasm', import.meta.url))
const RUNTIME = new URL('./index.ts', import.meta.url).href
const CORE = import.meta.resolve('@emet/core')
/** How many supervisors are killed, and the latest moment after their first word, in ms. */
const KILLS = 8
const KILL_AFTER_MS_MAX = 160

/** Deploys, and starts endless programs one after the other, as fast as it can. */
const SUPERVISOR = `
  import { systemClock } from ${JSON.stringify(CORE)}
  import { createWasmRuntime } from ${JSON.stringify(RUNTIME)}
  const [imageFile, folder] = process.argv.slice(2)
  const runtime = createWasmRuntime({ clock: systemClock })
  process.stdout.write('begins')
  const instance = await runtime.deploy({ imageFile, folder, limits: {}, volumes: [], env: {}, network: [] })
  for (let i = 0; i < 3; i++) void instance.run({ entryPoint: 'main', args: ['spin'] })
`

/** Processes of this machine whose command line names the folder. */
function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder)
      } catch {
        return false
      }
    })
}

describe('a supervisor that is killed', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-orphan-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('leaves no program behind, at whatever moment it dies', { timeout: 60_000 }, async () => {
    const script = join(folder, 'supervisor.mts')
    await writeFile(script, SUPERVISOR)
    const dieAfter = async (ms: number, work: string) => {
      await mkdir(work)
      const args = ['--disable-warning=ExperimentalWarning', script, BOX, work]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await systemClock.sleep(ms)
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('exit', resolve))
    }
    for (let i = 0; i < KILLS; i++) await dieAfter((KILL_AFTER_MS_MAX * i) / KILLS, join(folder, `work-${i}`))
    const deadline = systemClock.monotonicMs() + 20_000
    while (processesOf(folder).length > 0 && systemClock.monotonicMs() < deadline) await systemClock.sleep(50)
    const left = processesOf(folder)
    for (const pid of left) process.kill(pid, 'SIGKILL')
    expect(left).toEqual([])
  })

  it('has given no work to a jail that would outlive it', async () => {
    const [taken, fake] = [join(folder, 'taken'), join(folder, 'bwrap')]
    // Says all that bubblewrap and the engine say, but never asks to die with its parent.
    const text = `#!/bin/bash
      echo "{ \\"child-pid\\": $$, }" >&5
      echo '{"ready":true}' >&4
      read -r order <&3
      echo "order: $order" > ${taken}
    `
    await writeFile(fake, text, { mode: 0o700 })
    const runtime = createWasmRuntime({ clock: systemClock }, { bubblewrap: fake })
    const request = { limits: {}, volumes: [], env: {}, network: [] }
    const instance = await runtime.deploy({ ...request, imageFile: BOX, folder })
    const command = await instance.run({ entryPoint: 'main', args: ['spin'] })
    await systemClock.sleep(200)
    await expect(readFile(taken, 'utf8')).rejects.toThrow('ENOENT')
    await instance.stop('the test is over')
    expect(await command.ended).toEqual({ kind: 'killed', reason: 'the test is over' })
  })
})
