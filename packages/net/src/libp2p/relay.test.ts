import { silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { ask, attachTestNode, createTestIdentity, type TestNode, until } from '../testing.ts'
import type { Transport } from '../types.ts'
import { createLibp2pTransport, type Libp2pOptions } from './index.ts'

const running: Transport[] = []

/** An address that nobody answers at, so that the node can be reached over a relay only. */
const NOWHERE = '/ip4/127.0.0.1/tcp/1'

async function start(seed: string, options: Libp2pOptions): Promise<TestNode> {
  const identity = createTestIdentity(seed)
  const transport = createLibp2pTransport(
    { identity, clock: systemClock, random: systemRandom, logger: silentLogger },
    { listen: ['/ip4/127.0.0.1/tcp/0'], connectionsPerHostPerSecondMax: 1000, ...options },
  )
  const node = attachTestNode(identity, transport)
  running.push(transport)
  await transport.start()
  return node
}

const startRelay = (seed: string, bootstrap: string[] = []) =>
  start(seed, { roles: ['relay', 'index'], relayServer: true, bootstrap })
const endpointOf = (node: TestNode) => node.transport.endpoints()[0]!
const isConnected = (node: TestNode) => node.transport.peers().some((peer) => peer.state === 'connected')
const hasPlace = (node: TestNode) => node.transport.endpoints().some((endpoint) => endpoint.includes('p2p-circuit'))
/** A node that others cannot dial. */
const startHidden = (seed: string, bootstrap: string[]) => start(seed, { listen: [], bootstrap, reserve: true })

afterEach(async () => {
  await Promise.all(running.splice(0).map((transport) => transport.stop()))
})

describe('nodes that know a relay only', () => {
  it('call each other over it, with proven callers', async () => {
    const relay = await startRelay('relay 1')
    const b = await startHidden('hidden b', [endpointOf(relay)])
    await until(() => hasPlace(b), 'a place at the relay')
    const a = await startHidden('hidden a', [endpointOf(relay)])
    expect(await ask(a, b, 'echo over the relay')).toEqual(['echo over the relay'])
    expect(b.calls[0]?.remote.nodeId).toBe(a.identity.defaultId)
    const seen = a.transport.peers().find((peer) => peer.nodeId === b.identity.defaultId)
    expect(seen?.path).toBe('relayed')
    expect(await ask(b, a, 'echo back')).toEqual(['echo back'])
  })
  it('move bulk data over it beyond the default limits of relays', async () => {
    const relay = await startRelay('relay 2')
    const b = await startHidden('hidden b2', [endpointOf(relay)])
    await until(() => hasPlace(b), 'a place at the relay')
    const a = await startHidden('hidden a2', [endpointOf(relay)])
    const near = await a.transport.openBulk(b.identity.defaultId, 'large')
    await until(() => b.bulks.length > 0, 'the stream')
    const reading = (async () => {
      let size = 0
      for await (const chunk of b.bulks[0]!.stream.source) size += chunk.length
      return size
    })()
    for (let count = 0; count < 40; count++) await near.write(new Uint8Array(50_000))
    await near.finish()
    expect(await reading).toBe(2_000_000)
  })
  it('get a place again after the relay has restarted', async () => {
    const first = await startRelay('relay 3')
    const endpoint = endpointOf(first)
    const b = await startHidden('hidden b3', [endpoint])
    await until(() => hasPlace(b), 'a place at the relay')
    await first.transport.stop()
    await until(() => !isConnected(b), 'the loss')
    const listen = [endpoint.replace(/\/p2p\/.*/, '')]
    const second = await start('relay 3', { roles: ['relay'], relayServer: true, listen })
    expect(endpointOf(second)).toBe(endpoint)
    await until(() => isConnected(b) && hasPlace(b), 'a place at the new relay', 15_000)
    const a = await startHidden('hidden a3', [endpoint])
    expect(await ask(a, b, 'echo')).toEqual(['echo'])
  })
})

describe('the directory', () => {
  it('finds a node that is known to another relay', async () => {
    const relayA = await startRelay('relay of a')
    const relayB = await startRelay('relay of b', [endpointOf(relayA)])
    await until(() => isConnected(relayB), 'the other relay')
    const b = await start('b of relay b', { bootstrap: [endpointOf(relayB)] })
    await until(() => isConnected(b), 'its relay')
    const a = await start('a of relay a', { bootstrap: [endpointOf(relayA)] })
    expect(await ask(a, b, 'echo across')).toEqual(['echo across'])
    expect(a.transport.peers().find((peer) => peer.nodeId === b.identity.defaultId)?.path).toBe('direct')
  })
  it('finds a node over relays that are only connected through others', async () => {
    const relays = [await startRelay('chain 0')]
    for (const index of [1, 2]) {
      const relay = await startRelay(`chain ${index}`, [endpointOf(relays.at(-1)!)])
      await until(() => isConnected(relay), 'the relay before')
      relays.push(relay)
    }
    const b = await start('b of the last', { bootstrap: [endpointOf(relays.at(-1)!)] })
    await until(() => isConnected(b), 'its relay')
    const a = await start('a of the first', { bootstrap: [endpointOf(relays[0]!)] })
    let replies: string[] = []
    for (let tries = 0; replies.length === 0 && tries < 20; tries++) replies = await ask(a, b, 'echo').catch(() => [])
    expect(replies).toEqual(['echo'])
  }, 60_000)
  it('still leads to a node whose own addresses do not answer', async () => {
    const relay = await startRelay('relay 4')
    const b = await start('b with a wrong address', {
      announce: [NOWHERE],
      reserve: true,
      bootstrap: [endpointOf(relay)],
    })
    await until(() => isConnected(b), 'the relay')
    const a = await start('a of relay 4', { bootstrap: [endpointOf(relay)] })
    // The place at the relay may come a moment after the session.
    let replies: string[] = []
    for (let tries = 0; replies.length === 0 && tries < 50; tries++) replies = await ask(a, b, 'echo').catch(() => [])
    expect(replies).toEqual(['echo'])
  })
})

describe('starting', () => {
  it('is not held up by a bootstrap peer that is down', async () => {
    const down = createTestIdentity('down')
    const gone = await start('gone', {})
    const endpoint = endpointOf(gone)
    await gone.transport.stop()
    const a = await start('a', { bootstrap: [endpoint] })
    await until(() => a.transport.peers()[0]?.state === 'backing-off', 'the back-off')
    expect(a.transport.peers()[0]?.nodeId).toBe(gone.identity.defaultId)
    await expect(ask(a, down.defaultId, 'echo')).rejects.toMatchObject({ code: 'unreachable' })
  })
  it('refuses an address that names another node than the one who answers', async () => {
    const b = await start('b', {})
    const other = await start('other', {})
    const a = await start('a', {})
    const wrong = `${endpointOf(b).replace(/\/p2p\/.*/, '')}/p2p/${endpointOf(other).replace(/.*\/p2p\//, '')}`
    await expect(a.transport.connect(wrong)).rejects.toMatchObject({ code: 'unreachable' })
    await expect(a.transport.connect('nonsense')).rejects.toMatchObject({ code: 'bad-request' })
  })
})
