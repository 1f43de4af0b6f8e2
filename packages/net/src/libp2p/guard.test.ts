import { EventEmitter } from 'node:events'
import { silentLogger } from '@emet/core'
import { StreamResetError, StreamStateError } from '@libp2p/interface'
import { describe, expect, it } from 'vitest'
import { guardStrayErrors, isStrayStreamError } from './guard.ts'

describe('stray errors of libp2p', () => {
  it('are told apart from all others', () => {
    expect(isStrayStreamError(new StreamResetError())).toBe(true)
    expect(isStrayStreamError(new StreamStateError('closed'))).toBe(true)
    expect(isStrayStreamError(Object.assign(new Event('close'), { error: new StreamResetError() }))).toBe(true)
    expect(isStrayStreamError(new Error('StreamResetError'))).toBe(false)
    expect(isStrayStreamError(new TypeError('a bug'))).toBe(false)
    expect(isStrayStreamError('text')).toBe(false)
    expect(isStrayStreamError(null)).toBe(false)
  })
  it('are passed over, and others end the process', () => {
    const source = new EventEmitter()
    const fatal: unknown[] = []
    const stop = guardStrayErrors(source, silentLogger, (thrown) => fatal.push(thrown))
    const bug = new TypeError('a bug')
    source.emit('uncaughtException', new StreamResetError())
    source.emit('unhandledRejection', new StreamResetError())
    expect(fatal).toEqual([])
    source.emit('uncaughtException', bug)
    expect(fatal).toEqual([bug])
    stop()
    expect(source.listenerCount('uncaughtException') + source.listenerCount('unhandledRejection')).toBe(0)
  })
})
