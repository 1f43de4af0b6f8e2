import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@emet/core'
import { afterEach, beforeEach, expect, it } from 'vitest'

/** The promise to the user: Ctrl-C ends any command within this. */
const END_MS_MAX = 2_000
const SUPERVISED = new URL('./supervised.ts', import.meta.url).href

let folder: string
let child: ChildProcess | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'emet-supervised-'))
})
afterEach(() => {
  child?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a process whose `stop` is the given code, and waits until it says something: that it is ready. */
async function start(stop: string, begin = ''): Promise<ChildProcess> {
  const file = join(folder, 'main.mts')
  writeFileSync(
    file,
    `import { runSupervised } from ${JSON.stringify(SUPERVISED)}
     await runSupervised(async () => {
       ${begin}
       return { ready: { ok: true }, stop: async () => { ${stop} } }
     })`,
  )
  child = fork(file, { stdio: 'ignore' })
  await once(child, 'message')
  return child
}

it.each(['SIGINT', 'SIGTERM'] as const)('%s ends even what never stops', async (signal) => {
  const process_ = await start('await new Promise(() => {})')
  const beganMs = systemClock.monotonicMs()
  process_.kill(signal)
  const [code] = await once(process_, 'exit')
  expect(code).toBe(1)
  expect(systemClock.monotonicMs() - beganMs).toBeLessThan(END_MS_MAX)
})

it('a start that hangs ends as well', async () => {
  const process_ = await start('', `process.send({}); await new Promise(() => {})`)
  const beganMs = systemClock.monotonicMs()
  process_.kill('SIGINT')
  await once(process_, 'exit')
  expect(systemClock.monotonicMs() - beganMs).toBeLessThan(END_MS_MAX)
})

it('what stops in order ends well', async () => {
  const process_ = await start('')
  process_.kill('SIGINT')
  expect(await once(process_, 'exit')).toEqual([0, null])
})

it('losing the parent means to stop', async () => {
  const process_ = await start('')
  process_.disconnect()
  expect(await once(process_, 'exit')).toEqual([0, null])
})
