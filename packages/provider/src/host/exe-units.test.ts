import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createExeUnits } from './exe-units.ts'
import { startTicksOf } from './processes.ts'

/** Stands for an exe-unit: it has a child of its own, which it does not mind. */
const SUPERVISOR = `
mode=$1; shift
case "$*" in
  offer-template) [ $mode != broken ] || { echo "no sandbox here" >&2; exit 1; }; echo '{"properties":{"golem.com.usage.vector":["golem.usage.duration_sec"]},"constraints":""}'; exit 0 ;;
esac
[ $mode != stubborn ] || trap '' TERM
sleep 1000 &
[ $mode != good ] || trap 'exit 0' TERM
[ $mode != crash ] || { echo "pid $$"; exit 3; }
echo "environment: $(env | cut -d= -f1 | tr "\\n" " ")"
echo "started with $*"
while :; do wait; done
`
const KILL_AFTER_MS = 5_000
const REQUEST = { activityId: 'activity', agreementId: 'agreement', agreement: { agreementId: 'agreement' } }

let dataDir = ''
const groups = new Set<number>()
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'emet-exe-units-'))
  writeFileSync(join(dataDir, 'supervisor.sh'), SUPERVISOR)
})
afterEach(() => {
  for (const pid of groups) if (isGroupAlive(pid)) process.kill(-pid, 'SIGKILL')
  groups.clear()
  rmSync(dataDir, { recursive: true, force: true })
})

function create(clock = createVirtualClock()) {
  // The agent's own environment must not reach an exe-unit.
  process.env['EMET_SECRET'] = 'key'
  const descriptors = ['good', 'stubborn', 'crash', 'broken'].map((name) => ({
    name,
    version: '1.0.0',
    description: '',
    program: 'sh',
    args: [join(dataDir, 'supervisor.sh'), name],
    properties: { extra: true },
  }))
  const missing = { ...descriptors[0]!, name: 'missing', program: join(dataDir, 'nothing') }
  const env = { PATH: process.env['PATH'] ?? '' }
  const options = { dataDir, busUrl: 'unix:/bus', killAfterMs: KILL_AFTER_MS, env }
  return {
    clock,
    units: createExeUnits({ clock, logger: silentLogger }, { ...options, descriptors: [...descriptors, missing] }),
  }
}

const processFile = () => join(dataDir, 'exe-unit/work/agreement/activity.process.json')
const logText = () => readFileSync(join(dataDir, 'exe-unit/log/activity.log'), 'utf8')

/** The pid that was written down; noted, so that nothing is left behind when a test fails. */
function pidOnDisk(): number {
  const { pid } = JSON.parse(readFileSync(processFile(), 'utf8'))
  groups.add(pid)
  return pid
}

/** Whether the group has a member that is not a zombie. */
function isGroupAlive(pid: number): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return Number(group) === pid && state !== 'Z'
    } catch {
      return false
    }
  })
}

/** Until the shell has set its traps, and its child runs. */
const untilStarted = () => vi.waitFor(() => expect(logText()).toContain('started with'), 5_000)
const untilGone = (pid: number) => vi.waitFor(() => expect(isGroupAlive(pid)).toBe(false), 5_000)

test('an exe-unit gets its arguments, and SIGTERM ends it with all that it has started', async () => {
  const { units } = create()
  const unit = await units.launch({ ...REQUEST, runtime: 'good' })
  const pid = pidOnDisk()
  await untilStarted()
  expect(logText()).toContain('--gsb-url unix:/bus service-bus activity /local/activity -c')
  expect(JSON.parse(readFileSync(join(dataDir, 'exe-unit/work/agreement/agreement.json'), 'utf8'))).toEqual(
    REQUEST.agreement,
  )
  expect(logText()).not.toContain('EMET_SECRET')
  await unit.stop()
  expect(await unit.exited).toEqual({ code: 0, signal: null })
  await untilGone(pid)
  expect(readdirSync(join(dataDir, 'exe-unit/work'))).toEqual([])
  await unit.stop()
})

test('one that ignores SIGTERM is killed when its time is up, and not before', async () => {
  const { clock, units } = create()
  const unit = await units.launch({ ...REQUEST, runtime: 'stubborn' })
  const pid = pidOnDisk()
  await untilStarted()
  const stopped = unit.stop()
  await clock.advance(KILL_AFTER_MS - 1)
  expect(startTicksOf(pid)).toBeDefined()
  await clock.advance(1)
  await stopped
  expect(await unit.exited).toEqual({ code: null, signal: 'SIGKILL' })
  await untilGone(pid)
  expect(clock.pendingTimers).toBe(0)
})

test('kill() does not wait', async () => {
  const { units } = create()
  const unit = await units.launch({ ...REQUEST, runtime: 'stubborn' })
  const pid = pidOnDisk()
  await untilStarted()
  await unit.kill()
  await untilGone(pid)
})

test('a crash tells its code, and takes its children along', async () => {
  const { units } = create()
  const unit = await units.launch({ ...REQUEST, runtime: 'crash' })
  expect(await unit.exited).toEqual({ code: 3, signal: null })
  const pid = Number(/pid (\d+)/.exec(logText())?.[1])
  groups.add(pid)
  await untilGone(pid)
})

test('a later agent finds the process, and can stop it', async () => {
  const first = create()
  const started = await first.units.launch({ ...REQUEST, runtime: 'good' })
  const pid = pidOnDisk()
  await untilStarted()

  const later = create()
  const found = later.units.find('activity', 'agreement')
  expect(found).toBeDefined()
  expect(later.units.find('other', 'agreement')).toBeUndefined()
  const stopped = found?.stop()
  await started.exited
  await vi.waitFor(() => later.clock.advance(1_000).then(() => expect(existsSync(processFile())).toBe(false)))
  await later.clock.advance(1_000)
  await stopped
  await untilGone(pid)
  expect(later.units.find('activity', 'agreement')).toBeUndefined()
})

test('a pid that was used again is not taken for the exe-unit', async () => {
  const { units } = create()
  const unit = await units.launch({ ...REQUEST, runtime: 'good' })
  const record = JSON.parse(readFileSync(processFile(), 'utf8'))
  pidOnDisk()
  await untilStarted()
  await unit.stop()

  const innocent = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' })
  groups.add(innocent.pid!)
  await units.launch({ ...REQUEST, runtime: 'good' })
  const second = pidOnDisk()
  writeFileSync(processFile(), JSON.stringify({ ...record, pid: innocent.pid }))
  expect(create().units.find('activity', 'agreement')).toBeUndefined()
  expect(startTicksOf(innocent.pid!)).toBeDefined()
  process.kill(-second, 'SIGKILL')
  process.kill(-innocent.pid!, 'SIGKILL')
  await untilGone(second)
})

test('what cannot be started says which program', async () => {
  const { units } = create()
  await expect(units.launch({ ...REQUEST, runtime: 'missing' })).rejects.toThrow(
    /nothing could not be started: .*ENOENT/,
  )
  await expect(units.launch({ ...REQUEST, runtime: 'vm' })).rejects.toThrow('this machine has no runtime "vm"')
})

test('only runtimes whose self-test passes are sold, with their own properties', async () => {
  const sold = await create().units.runtimes()
  expect(sold.map(({ name }) => name)).toEqual(['good', 'stubborn', 'crash'])
  expect(sold[0]?.template.properties).toEqual({
    'golem.com.usage.vector': ['golem.usage.duration_sec'],
    'golem.runtime.extra': true,
  })
})

test('old logs make room for new ones', async () => {
  const { units } = create()
  await (await units.launch({ ...REQUEST, runtime: 'crash' })).exited
  const log = join(dataDir, 'exe-unit/log')
  for (let at = 0; at < 150; at++) writeFileSync(join(log, `old-${at}.log`), '')
  const unit = await units.launch({ ...REQUEST, activityId: 'newest', runtime: 'crash' })
  await unit.exited
  expect(readdirSync(log)).toHaveLength(100)
  expect(readdirSync(log)).toContain('newest.log')
})
