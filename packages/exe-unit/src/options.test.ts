import { describe, expect, it } from 'vitest'
import { parseOptions } from './options.ts'
import { launchCommand, wasmDescriptor } from './protocol.ts'

describe('the command line', () => {
  it('reads what the argument builder writes', () => {
    const [program, args] = launchCommand(wasmDescriptor('/bin/node'), {
      ...{ activityId: 'a', workDir: '/w', cacheDir: '/c', agreementFile: '/a.json', busUrl: 'unix:/s' },
      keepWorkDir: true,
    })
    expect(program).toBe('/bin/node')
    const own = args.slice(args.findIndex((arg) => arg.endsWith('main.ts')) + 1)
    expect(parseOptions(own, {})).toMatchObject({
      ...{ command: 'service-bus', runtime: 'wasm', activityId: 'a', reportUrl: '/local/activity', busUrl: 'unix:/s' },
      ...{ workDir: '/w', cacheDir: '/c', agreementFile: '/a.json', keepWorkDir: true, confinement: 'jailed' },
    })
  })

  it('takes the bus from the environment, and limits in their units', () => {
    const args = ['--command-sec', '1.5', '--cache-gib', '2', '--orphan-sec', '3', 'test']
    expect(parseOptions(args, { GSB_URL: 'tcp://127.0.0.1:1' })).toMatchObject({
      ...{ command: 'test', busUrl: 'tcp://127.0.0.1:1', commandMs: 1500, orphanMs: 3000, cacheBytesMax: 2 ** 31 },
    })
    expect(parseOptions([], {}).command).toBe('help')
  })

  it('names what is wrong', () => {
    const wrong: [string[], string][] = [
      [['dance'], 'dance is no command'],
      [['--runtime', 'vm', 'test'], '--runtime vm'],
      [['--command-sec', '-1', 'test'], '--command-sec'],
      [['--cache-gib', 'many', 'test'], '--cache-gib many'],
      [['service-bus', 'id', '/local/activity', '-a', 'x', '-w', 'y'], '-c CACHEDIR'],
      [['--mystery', 'test'], '--mystery'],
    ]
    for (const [args, message] of wrong) expect(() => parseOptions(args, {}), message).toThrow(message)
  })
})
