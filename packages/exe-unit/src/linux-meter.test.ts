import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLinuxMeter } from './linux-meter.ts'

describe('the meter', () => {
  it('counts the CPU time of children, ended ones included, and never their parents', async () => {
    const meter = createLinuxMeter(process.pid)
    const before = await meter.processes()
    const child = spawn(process.execPath, [
      '-e',
      'let i=0; while (process.cpuUsage().user < 300000) i++; process.stdin.resume()',
    ])
    while ((await meter.processes()).cpuSec < before.cpuSec + 0.25)
      await new Promise((resolve) => setImmediate(resolve))
    expect((await meter.processes()).guestMemoryBytes).toBeGreaterThan(2 ** 20)
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.stdin.end()
    await exited
    const after = await meter.processes()
    expect(after.cpuSec).toBeGreaterThanOrEqual(before.cpuSec + 0.25)
    expect(after.memoryBytes).toBeGreaterThan(after.guestMemoryBytes)
  })

  it('adds up a folder without following links', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emet-meter-'))
    try {
      await mkdir(join(folder, 'a/b'), { recursive: true })
      await writeFile(join(folder, 'a/b/c'), Buffer.alloc(1_000_000, 1))
      await symlink('/usr', join(folder, 'usr'))
      const bytes = await createLinuxMeter(process.pid).folderBytes(folder)
      expect(bytes).toBeGreaterThanOrEqual(1_000_000)
      expect(bytes).toBeLessThan(1_100_000)
      expect(await createLinuxMeter(process.pid).folderBytes('/nowhere')).toBe(0)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
