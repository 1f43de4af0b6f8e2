import {
  Body,
  type Bus,
  type BusCall,
  type BusError,
  createBus,
  decodePacket,
  encodePacket,
  ReplyError,
} from '@emet/bus'
import { type NodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { createMemoryNetwork, type MemoryNetwork, memoryEndpoint } from './memory/index.ts'
import { createNet } from './net.ts'
import { createTestIdentity, type TestIdentity, until } from './testing.ts'
import type { Net, Transport } from './types.ts'

type Node = { id: NodeId; identity: TestIdentity; bus: Bus; net: Net; transport: Transport }

const running: Node[] = []
let network: MemoryNetwork = createMemoryNetwork({ clock: systemClock, random: systemRandom })

async function start(seed: string, ...aliases: string[]): Promise<Node> {
  const ports = { clock: systemClock, random: systemRandom, logger: silentLogger }
  const identity = createTestIdentity(seed, ...aliases)
  const bus = createBus(ports)
  const transport = network.createTransport(identity)
  const net = createNet({ ...ports, transports: [transport], bus, identity })
  await net.start()
  const node = { id: identity.defaultId, identity, bus, net, transport }
  running.push(node)
  return node
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.net.stop()))
  network = createMemoryNetwork({ clock: systemClock, random: systemRandom })
})

const callerName = async (call: BusCall) => `${call.caller.kind} ${call.caller.nodeId}`

describe('calls between nodes', () => {
  it('reach the public part of the other node with the proven caller', async () => {
    const [a, b] = [await start('a'), await start('b')]
    b.bus.bind('/public/who/Ask', callerName)
    for (const kind of ['', '/udp', '/transfer']) {
      expect(await a.bus.call(`${kind}/net/${b.id}/who/Ask`, null)).toBe(`peer ${a.id}`)
      expect(await a.bus.call(`${kind}/from/${a.id}/to/${b.id}/who/Ask`, null)).toBe(`peer ${a.id}`)
    }
  })
  it('are made as any of our identities, and no other', async () => {
    const [a, b] = [await start('a', 'a alias'), await start('b')]
    const alias = a.identity.ids()[1]!
    b.bus.bind('/public/who/Ask', callerName)
    expect(await a.bus.call(`/from/${alias}/to/${b.id}/who/Ask`, null)).toBe(`peer ${alias}`)
    const asLocal = { caller: { kind: 'local', nodeId: alias } } as const
    expect(await a.bus.call(`/net/${b.id}/who/Ask`, null, asLocal)).toBe(`peer ${alias}`)
    await expect(a.bus.call(`/from/${b.id}/to/${b.id}/who/Ask`, null)).rejects.toMatchObject({ code: 'bad-request' })
  })
  it('go on when another identity becomes the default one', async () => {
    const [a, b] = [await start('a', 'a alias'), await start('b')]
    const alias = a.identity.ids()[1]!
    b.bus.bind('/public/who/Ask', callerName)
    Object.assign(a.identity, { defaultId: alias })
    expect(await a.bus.call(`/net/${b.id}/who/Ask`, null)).toBe(`peer ${alias}`)
    expect(b.net.peers()[0]).toMatchObject({ nodeId: a.id, aliases: [alias] })
  })
  it('to our own identities take no way around', async () => {
    const a = await start('a', 'a alias')
    a.bus.bind('/public/who/Ask', callerName)
    for (const id of a.identity.ids()) expect(await a.bus.call(`/net/${id}/who/Ask`, null)).toBe(`local ${a.id}`)
    expect(a.net.peers()).toEqual([])
  })
  it('carry bodies, errors of the callee, and failures on the way', async () => {
    const [a, b] = [await start('a'), await start('b')]
    b.bus.bind('/public/x/Echo', async (call) => call.body.value())
    b.bus.bind('/public/x/Fail', async () => {
      throw new ReplyError({ notFound: 'it' })
    })
    const body = { text: 'x'.repeat(5000), list: [1, 2, 3], bytes: new Uint8Array([1, 2]) }
    expect(await a.bus.call(`/net/${b.id}/x/Echo`, body)).toEqual(body)
    await expect(a.bus.call(`/net/${b.id}/x/Fail`, null)).rejects.toMatchObject({ data: { notFound: 'it' } })
    const missing = await a.bus.call(`/net/${b.id}/x/Missing`, null).catch((error: unknown) => error)
    expect(missing).toMatchObject({ code: 'no-endpoint' })
    expect((missing as BusError).message).toMatch(/endpoint address not found$/)
  })
  it('do not reach local parts', async () => {
    const [a, b] = [await start('a'), await start('b')]
    b.bus.bind('/local/secret/Get', async () => 'secret')
    await expect(a.bus.call(`/net/${b.id}/../local/secret/Get`, null)).rejects.toMatchObject({ code: 'no-endpoint' })
    await expect(a.bus.call(`/net/${b.id}/local/secret/Get`, null)).rejects.toMatchObject({ code: 'no-endpoint' })
  })
  it('stream replies, and stop the callee when nobody listens', async () => {
    const [a, b] = [await start('a'), await start('b')]
    let stopped = false
    b.bus.bind('/public/x/Count', async function* (call) {
      call.signal.addEventListener('abort', () => {
        stopped = true
      })
      for (let index = 0; !call.signal.aborted; index++) yield index
    })
    const seen: unknown[] = []
    for await (const item of a.bus.stream(`/net/${b.id}/x/Count`, null)) {
      seen.push(item)
      if (seen.length === 10) break
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    await until(() => stopped, 'the cancel')
  })
  it('without reply arrive', async () => {
    const [a, b] = [await start('a'), await start('b')]
    const heard: unknown[] = []
    b.bus.bind('/public/x/Tell', async (call) => void heard.push(call.body.value()))
    a.bus.post(`/net/${b.id}/x/Tell`, 'news')
    await until(() => heard.length > 0, 'the message')
    expect(heard).toEqual(['news'])
  })
  it('fail clearly when the node is unknown or the address wrong', async () => {
    const a = await start('a')
    const nobody = createTestIdentity('nobody').defaultId
    await expect(a.bus.call(`/net/${nobody}/x/Y`, null)).rejects.toMatchObject({ code: 'unreachable' })
    await expect(a.bus.call('/net/0x12/x/Y', null)).rejects.toMatchObject({ code: 'bad-request' })
  })
  it('fail with closed when the peer goes away', async () => {
    const [a, b] = [await start('a'), await start('b')]
    b.bus.bind('/public/x/Hang', () => new Promise(() => {}))
    const call = a.bus.call(`/net/${b.id}/x/Hang`, null).catch((error: unknown) => error)
    await until(() => b.net.peers().length > 0, 'the session')
    network.crash(b.id)
    expect(await call).toMatchObject({ code: 'closed' })
  })
})

describe('hostile packets', () => {
  const send = async (from: Node, to: Node, packet: Uint8Array) => {
    const replies: string[] = []
    for await (const reply of from.transport.call(to.id, packet)) {
      const decoded = decodePacket(reply)
      if (decoded.kind === 'call-reply') replies.push(`${decoded.code} ${new TextDecoder().decode(decoded.data)}`)
    }
    return replies
  }
  const request = (caller: string, address: string) =>
    encodePacket({ kind: 'call-request', caller, address, requestId: '1', data: Body.of(null).bytes(), noReply: false })

  it('that claim an identity which is not proven are refused and counted', async () => {
    const [a, b] = [await start('a'), await start('b', 'b alias')]
    let called = false
    b.bus.bind('/public/who/Ask', async () => {
      called = true
    })
    for (const claimed of [b.id, b.identity.ids()[1]!, 'nonsense']) {
      const [reply] = await send(a, b, request(claimed, `/net/${b.id}/who/Ask`))
      expect(reply).toMatch(/^400 .*not proven/)
    }
    expect(called).toBe(false)
    expect(b.net.status().refusedPackets).toBe(3)
  })
  it('that ask for other nodes or local parts are refused', async () => {
    const [a, b, c] = [await start('a'), await start('b'), await start('c')]
    for (const address of [`/net/${c.id}/x/Y`, '/local/x/Y', '/public/x/Y', `/from/${b.id}/to/${b.id}/x/Y`]) {
      expect((await send(a, b, request(a.id, address)))[0]).toBe(`400 Unknown address: ${address}`)
    }
  })
  it('that are none get no answer', async () => {
    const [a, b] = [await start('a'), await start('b')]
    expect(await send(a, b, new Uint8Array([255, 255, 255]))).toEqual([])
    expect(await send(a, b, encodePacket({ kind: 'ping' }))).toEqual([])
    expect(b.net.status().refusedPackets).toBe(2)
  })
  it('cast in the name of others are dropped', async () => {
    const [a, b] = [await start('a', 'a alias'), await start('b')]
    await a.net.connect(memoryEndpoint(b.id))
    const heard: unknown[] = []
    b.bus.subscribe('news', (body, caller) => void heard.push([body.value(), caller]))
    const data = Body.of({ id: null, topic: 'news', body: 'false' }).bytes()
    for (const caller of [b.id, a.identity.ids()[1]!]) {
      await a.transport.cast('news', encodePacket({ kind: 'broadcast-request', caller, topic: 'news', data }))
    }
    await a.net.cast('news', 'true')
    await until(() => heard.length > 0, 'the cast')
    expect(heard).toEqual([['true', { kind: 'peer', nodeId: a.id }]])
    expect(b.net.status().refusedPackets).toBe(2)
  })
})

describe('peers and bulk streams', () => {
  it('shows peers, roles and changes', async () => {
    const [a, b] = [await start('a'), await start('b')]
    let changes = 0
    const stopListening = a.net.onPeerChange(() => changes++)
    await a.net.connect(b.id)
    expect(changes).toBeGreaterThan(0)
    expect(a.net.status()).toMatchObject({ nodeId: a.id, sessions: 1, listenAddress: memoryEndpoint(a.id) })
    expect(a.net.peersWith('relay')).toEqual([])
    stopListening()
    await a.net.disconnect(b.id)
    expect(a.net.peers()).toEqual([])
  })
  it('hands bulk streams to the longest prefix, and refuses the rest', async () => {
    const [a, b] = [await start('a'), await start('b')]
    const got: string[] = []
    b.net.onBulk('file/', async (remote, purpose, stream) => {
      for await (const chunk of stream.source) got.push(`${remote.nodeId === a.id} ${purpose} ${chunk.length}`)
      await stream.finish()
    })
    b.net.onBulk('file/x/', (_, __, stream) => stream.abort(new Error('not this one')))
    expect(() => b.net.onBulk('file/', () => {})).toThrow('served already')
    const stream = await a.net.openBulk(b.id, 'file/1')
    await stream.write(new Uint8Array(10))
    await stream.finish()
    for await (const _ of stream.source) throw new Error('nothing was sent back')
    expect(got).toEqual(['true file/1 10'])
    const refused = await a.net.openBulk(b.id, 'other')
    const read = async () => {
      for await (const _ of refused.source) throw new Error('nothing comes')
    }
    await expect(read()).rejects.toThrow('nobody serves')
  })
})
