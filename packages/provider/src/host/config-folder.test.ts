import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createVirtualClock } from '@emet/core/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { readConfig, writeConfig } from '../config.ts'
import { ProviderError } from '../errors.ts'
import { defaultProfile, profileSchema } from '../hardware.ts'
import { TEST_MACHINE } from '../testing.ts'
import { createConfigFolder } from './config-folder.ts'
import { readMachine } from './machine.ts'

let dir = ''
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'emet-config-')), 'provider')
})
afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }))

test('missing files are written with their defaults, for the owner alone', () => {
  const folder = createConfigFolder(createVirtualClock(), dir)
  const config = readConfig(folder, TEST_MACHINE)
  expect(readdirSync(dir).sort()).toEqual(['globals.json', 'hardware.json', 'presets.json', 'rules.json'])
  expect(statSync(join(dir, 'rules.json')).mode & 0o077).toBe(0)
  expect(readConfig(folder, TEST_MACHINE)).toEqual(config)
  expect(folder.read('other.json')).toBeUndefined()
})

test('a value that is not valid is refused with its field, and changes nothing', () => {
  const folder = createConfigFolder(createVirtualClock(), dir)
  const { hardware } = readConfig(folder, TEST_MACHINE)
  const before = folder.read('hardware.json')
  expect(() => writeConfig(folder, 'hardware', { ...hardware, active: 'other' })).toThrow(ProviderError)
  expect(() => writeConfig(folder, 'hardware', { ...hardware, active: 'other' })).toThrow(/hardware.json: active: /)
  expect(folder.read('hardware.json')).toBe(before)
})

test('changes are told once they have settled, and no more after the end', async () => {
  const clock = createVirtualClock()
  const folder = createConfigFolder(clock, dir)
  let told = 0
  const stop = folder.watch(() => {
    told++
  })
  writeFileSync(join(dir, 'notes.txt'), 'not ours')
  folder.write('presets.json', '{')
  folder.write('presets.json', '{}')
  await vi.waitFor(() => expect(clock.pendingTimers).toBe(1))
  await clock.advance(299)
  expect(told).toBe(0)
  // The operating system may tell of one change in several steps.
  await vi.waitFor(() => clock.advance(400).then(() => expect(told).toBeGreaterThan(0)))
  stop()
  const before = told
  folder.write('presets.json', '[]')
  await new Promise((resolve) => setImmediate(resolve))
  await clock.advance(1_000)
  expect(told).toBe(before)
  expect(clock.pendingTimers).toBe(0)
})

test('what is read of this machine makes an offer', () => {
  const folder = createConfigFolder(createVirtualClock(), dir)
  expect(folder.read('x')).toBeUndefined()
  const machine = readMachine(dir)
  expect(machine.cpuThreads).toBeGreaterThanOrEqual(machine.cpuCores)
  expect(machine.memGib).toBeGreaterThan(0.1)
  expect(machine.memGib).toBeLessThan(100_000)
  expect(machine.architecture).toMatch(/^(x86_64|aarch64)$/)
  expect(profileSchema.safeParse(defaultProfile(machine)).success).toBe(true)
})
