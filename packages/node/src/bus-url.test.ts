import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createBus } from '@emet/bus'
import { connectBus, createBusServer } from '@emet/bus/socket'
import { silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defaultBusUrl } from './bus-url.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'emet-url-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('the default bus address', () => {
  const deep = () => join(folder, 'deep'.repeat(30))

  it('is in the data folder where that is short enough', () => {
    expect(defaultBusUrl(folder)).toBe(`unix:${folder}/bus.sock`)
  })
  it('is a socket that works for a deep data folder, the same each time, and another for another folder', async () => {
    const url = defaultBusUrl(deep(), folder)
    expect(defaultBusUrl(deep(), folder)).toBe(url)
    expect(defaultBusUrl(`${deep()}r`, folder)).not.toBe(url)
    expect(statSync(dirname(url.slice('unix:'.length))).mode & 0o777).toBe(0o700)
    const ports = { clock: systemClock, random: systemRandom, logger: silentLogger }
    const bus = createBus(ports)
    bus.bind('/local/Hello', async () => 'here')
    const server = createBusServer({ bus, ...ports }, { url })
    await server.start()
    const attached = await connectBus(ports, { url })
    expect(await attached.call('/local/Hello', null)).toBe('here')
    attached.close()
    await server.stop()
  })
  it('is refused where others may write', () => {
    const url = defaultBusUrl(deep(), folder)
    chmodSync(dirname(url.slice('unix:'.length)), 0o777)
    expect(() => defaultBusUrl(deep(), folder)).toThrow('open to other users')
  })
})
