import { describe, expect, it } from 'vitest'
import { BATCH_COMMANDS_MAX, parseScript } from './script.ts'

const commandOf = (item: unknown) => parseScript([item])[0]?.command

describe('exe-scripts', () => {
  it('take every published form', () => {
    expect(commandOf({ deploy: {} })).toMatchObject({ kind: 'deploy' })
    const volumes = { '/a': { host: {} }, '/b': { ram: { size: '1GiB' } }, '/c': { storage: { size: 5n } } }
    expect(
      commandOf({ deploy: { net: [], hosts: {}, hostname: null, volumes, env: { A: 'b' }, progress: null } }),
    ).toMatchObject({
      what: { volumes: { '/a': { kind: 'host' }, '/b': { kind: 'ram' }, '/c': { kind: 'storage' } }, env: { A: 'b' } },
    })
    expect(commandOf({ deploy: { volumes: ['/x'] } })).toMatchObject({ what: { volumes: { '/x': { kind: 'host' } } } })
    expect(commandOf({ start: { args: ['x'] } })).toEqual({ kind: 'start', args: ['x'] })
    expect(commandOf({ start: {} })).toEqual({ kind: 'start', args: [] })
    for (const kind of ['sign', 'terminate']) {
      for (const form of [kind, { [kind]: {} }, { [kind]: null }]) expect(commandOf(form)).toEqual({ kind })
    }
  })

  it('read capture modes in each spelling', () => {
    const mode = (stdout: unknown) => {
      const command = commandOf({ run: { entry_point: 'x', args: [], capture: { stdout, stderr: null } } })
      return command?.kind === 'run' ? command.what.capture?.stdout : undefined
    }
    expect(mode({ atEnd: {} })).toEqual({ kind: 'all', format: 'text' })
    expect(mode({ atEnd: { tail: 5n, format: 'binary' } })).toEqual({ kind: 'tail', bytes: 5, format: 'bytes' })
    expect(mode({ atEnd: { part: { headTail: 4 } } })).toEqual({ kind: 'headTail', bytes: 4, format: 'text' })
    expect(mode({ stream: { limit: 9, format: 'str' } })).toEqual({ kind: 'stream', bytes: 9, format: 'text' })
    // yapapi's odd spelling of a limit is ignored, as the existing exe-unit does.
    expect(mode({ stream: { stream: 9 } })).toEqual({ kind: 'stream', bytes: undefined, format: 'text' })
  })

  it('read file sets in each form', () => {
    const set = (fileset: unknown) => {
      const command = commandOf({ transfer: { from: 'a', to: 'b', fileset } })
      return command?.kind === 'transfer' ? command.what.fileset : undefined
    }
    expect(set('*.c')).toEqual({ includes: ['*.c'], excludes: [] })
    expect(set(['*.c', '*.h'])).toEqual({ includes: ['*.c', '*.h'], excludes: [] })
    expect(set({ desc: 'x', excludes: 'tmp/*' })).toEqual({ includes: ['**/*'], excludes: ['tmp/*'] })
    expect(set([{ includes: ['a'] }, { includes: 'b', excludes: ['c'] }])).toEqual({
      includes: ['a', 'b'],
      excludes: ['c'],
    })
  })

  it('are refused with the command, the field and the problem', () => {
    const wrong: [unknown, string][] = [
      [{}, 'array of commands'],
      [[7], 'command 0 is not an object'],
      [[{ deploy: {}, start: {} }], 'exactly one key'],
      [[{ run: { entry_point: 'x', args: [1] } }], 'command 0 (run): args.0'],
      [[{ transfer: { from: 'x' } }], 'command 0 (transfer): to'],
      [
        [{ run: { entry_point: 'x', capture: { stdout: { atEnd: { head: -1 } } } } }],
        'command 0 (run): capture.stdout',
      ],
      [Array(BATCH_COMMANDS_MAX + 1).fill('sign'), 'at most'],
    ]
    for (const [script, message] of wrong) expect(() => parseScript(script), message).toThrow(message)
  })
})
