import { mkdtemp, rm, stat } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemRandom } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Body } from '../body.ts'
import { createBus } from '../bus.ts'
import { unpackBody } from '../gsb/calls.ts'
import { createFrameReader, encodeFrame } from '../gsb/framing.ts'
import { decodePacket, encodePacket, type Packet } from '../gsb/packet.ts'
import { busErrorCode, describeBus, letTravel, somePeer } from '../testing.ts'
import { type AttachedBus, connectBus, createBusServer } from './index.ts'
import { parseSocketUrl } from './url.ts'

const logger = silentLogger
const random = systemRandom

async function makeDaemon(url: string) {
  const clock = createVirtualClock()
  const bus = createBus({ clock, logger })
  const server = createBusServer({ bus, clock, random, logger }, { url })
  await server.start()
  return { clock, bus, server }
}

describeBus('an attached process serving the daemon', async () => {
  const { clock, bus, server } = await makeDaemon('tcp://127.0.0.1:0')
  const client = await connectBus({ clock, random, logger }, { url: server.url })
  const settle = async () => {
    await client.registered()
    // A withdrawal has no reply that anybody waits for: a round trip behind it shows that it has been heard.
    await busErrorCode(client.call('/local/no/One', null))
  }
  const dispose = async () => {
    client.close()
    await server.stop()
  }
  return { caller: bus, callee: client, clock, settle, dispose }
})

describeBus('the daemon serving an attached process', async () => {
  const { clock, bus, server } = await makeDaemon('tcp://127.0.0.1:0')
  const client = await connectBus({ clock, random, logger }, { url: server.url })
  const dispose = async () => {
    client.close()
    await server.stop()
  }
  return { caller: client, callee: bus, clock, settle: async () => {}, dispose }
})

describeBus('two attached processes', async () => {
  const { clock, server } = await makeDaemon('tcp://127.0.0.1:0')
  const [caller, callee] = await Promise.all(
    [1, 2].map(() => connectBus({ clock, random, logger }, { url: server.url })),
  )
  const settle = async () => {
    await callee!.registered()
    await busErrorCode(callee!.call('/local/no/One', null))
  }
  const dispose = async () => {
    caller!.close()
    callee!.close()
    await server.stop()
  }
  return { caller: caller!, callee: callee!, clock, settle, dispose }
})

describe('the socket', () => {
  let folder: string
  let url: string
  const undo: (() => unknown)[] = []
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emet-bus-'))
    url = `unix:${join(folder, 'bus.sock')}`
  })
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
    await rm(folder, { recursive: true, force: true })
  })
  const daemon = async () => {
    const made = await makeDaemon(url)
    undo.push(() => made.server.stop())
    return made
  }
  const attach = async (clock = createVirtualClock()): Promise<AttachedBus> => {
    const client = await connectBus({ clock, random, logger }, { url })
    undo.push(() => client.close())
    return client
  }

  it("is its user's only, and is removed in the end", async () => {
    const { server } = await daemon()
    const path = join(folder, 'bus.sock')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    await server.stop()
    await expect(stat(path)).rejects.toThrow('ENOENT')
  })
  it('is taken over from a daemon that has died, not from one that lives', async () => {
    await daemon()
    const second = createBusServer(
      { bus: createBus({ clock: createVirtualClock(), logger }), clock: createVirtualClock(), random, logger },
      { url },
    )
    expect(await busErrorCode(second.start())).toBe('address-taken')
  })
  it('says when no daemon answers', async () => {
    expect(await busErrorCode(attach())).toBe('unreachable')
  })
  it('brings the proven caller to the process, and calls of the process as local', async () => {
    const { bus } = await daemon()
    const client = await attach()
    client.bind('/public/x/Who', async (call) => call.caller)
    await client.registered()
    expect(await bus.call('/public/x/Who', null, { caller: somePeer })).toEqual(somePeer)
    expect(await bus.call('/public/x/Who', null)).toEqual({ kind: 'local' })
    bus.bind('/local/x/Who', async (call) => call.caller)
    expect(await client.call('/local/x/Who', null, { caller: somePeer })).toEqual({ kind: 'local' })
  })
  it('tells a process that its address is taken', async () => {
    const { bus } = await daemon()
    bus.route('/public/x/Y', async function* () {})
    const client = await attach()
    client.bind('/public/x/Y', async () => 1)
    expect(await busErrorCode(client.registered())).toBe('address-taken')
  })
  it('forgets everything of a process that has gone, and fails its calls', async () => {
    const { bus } = await daemon()
    const client = await attach()
    let isCalled = false
    client.bind('/public/x/Never', () => {
      isCalled = true
      return new Promise(() => {})
    })
    await client.registered()
    const waiting = busErrorCode(bus.call('/public/x/Never', null))
    await letTravel(() => isCalled)
    client.close()
    expect(await waiting).toBe('closed')
    expect(await busErrorCode(bus.call('/public/x/Never', null))).toBe('no-endpoint')
  })
  it('tells a process when the caller of its stream has gone', async () => {
    const { bus } = await daemon()
    const [one, other] = [await attach(), await attach()]
    let signal: AbortSignal | undefined
    bus.bind('/public/x/Endless', async function* (call) {
      signal = call.signal
      for (let index = 0; ; index++) yield index
    })
    const reader = one.stream('/public/x/Endless', null)[Symbol.asyncIterator]()
    await reader.next()
    one.close()
    await letTravel(() => signal?.aborted === true, 'the end')
    expect(other.isAttached).toBe(true)
  })
  it('outlives the daemon: attaches again and registers everything anew', async () => {
    const first = await daemon()
    const clock = createVirtualClock()
    const client = await attach(clock)
    const news: unknown[] = []
    client.bind('/public/x/Y', async () => 'still here')
    client.subscribe('news', (body) => news.push(body.value()))
    await client.registered()
    await first.server.stop()
    await letTravel(() => !client.isAttached, 'the end')
    // A call in between waits for the daemon, within its time.
    const early = client.call('/local/d/Hello', null, { timeoutMs: 60_000 })
    const late = busErrorCode(client.call('/local/d/Hello', null, { timeoutMs: 50 }))
    await clock.advance(50)
    expect(await late).toBe('timeout')
    await clock.advance(1_000)

    const second = await daemon()
    second.bus.bind('/local/d/Hello', async () => 'hello again')
    for (let turn = 0; turn < 100 && !client.isAttached; turn++) await clock.advance(1_000)
    expect(await early).toBe('hello again')
    await client.registered()
    expect(await second.bus.call('/public/x/Y', null)).toBe('still here')
    second.bus.publish('news', 1)
    await letTravel(() => news.length === 1)
  })
  it('answers with a failure when a reply cannot be encoded', async () => {
    const { bus } = await daemon()
    const client = await attach()
    bus.bind('/public/x/Odd', async () => new Map())
    bus.bind('/public/x/OddStream', async function* () {
      yield 1
      yield new Map()
    })
    expect(await busErrorCode(client.call('/public/x/Odd', null))).toBe('service-failure')
    const reading = (async () => {
      for await (const item of client.stream('/public/x/OddStream', null)) expect(item).toBe(1)
    })()
    expect(await busErrorCode(reading)).toBe('service-failure')
    expect(await busErrorCode(client.call('/public/x/Odd', () => 1))).toBe('bad-request')
  })
  it('does not echo casts to their sender', async () => {
    const { bus } = await daemon()
    const client = await attach()
    const seen: string[] = []
    client.subscribe('news', () => seen.push('client'))
    bus.subscribe('news', () => seen.push('daemon'))
    await client.registered()
    client.publish('news', 1)
    await letTravel(() => seen.length === 2)
    await busErrorCode(client.call('/local/no/One', null))
    expect(seen.sort()).toEqual(['client', 'daemon'])
  })

  /** A process that speaks plain GSB, as the original ones do. */
  const attachRaw = async () => {
    const socket: Socket = connect({ path: join(folder, 'bus.sock') })
    undo.push(() => socket.destroy())
    const seen: Packet[] = []
    const frames = createFrameReader()
    socket.on('data', (bytes) => seen.push(...frames.push(bytes).map(decodePacket)))
    let isClosed = false
    socket.on('close', () => {
      isClosed = true
    })
    socket.on('error', () => {})
    const send = (packet: Packet) => socket.write(encodeFrame(encodePacket(packet)))
    const of = <K extends Packet['kind']>(kind: K) => seen.filter((p): p is Packet & { kind: K } => p.kind === kind)
    return { socket, send, seen, of, isClosed: () => isClosed }
  }

  it('serves processes that speak plain GSB', async () => {
    const { bus } = await daemon()
    const raw = await attachRaw()
    raw.send({ kind: 'hello', name: 'ya-exe-unit', version: '0.17', instanceId: new Uint8Array(16) })
    raw.send({ kind: 'register-request', serviceId: '/public/exeunit/1' })
    raw.send({ kind: 'register-request', serviceId: '/public/exeunit/1' })
    raw.send({ kind: 'unregister-request', serviceId: '/public/nothing' })
    raw.send({ kind: 'ping' })
    await letTravel(() => raw.of('pong').length === 1)
    expect(raw.of('hello')).toHaveLength(1)
    expect(raw.of('register-reply').map(({ code }) => code)).toEqual([0, 409])
    expect(raw.of('unregister-reply').map(({ code }) => code)).toEqual([404])

    const answer = bus.call('/public/exeunit/1/Exec', { batchId: 'b' }, { caller: somePeer })
    await letTravel(() => raw.of('call-request').length === 1)
    const request = raw.of('call-request')[0]!
    expect(request).toMatchObject({ caller: somePeer.nodeId, address: '/public/exeunit/1/Exec', noReply: false })
    expect(unpackBody(request.data).value()).toEqual({ batchId: 'b' })
    const data = Body.of({ Ok: 'b' }).bytes()
    raw.send({ kind: 'call-reply', requestId: request.requestId, code: 0, type: 0, data })
    expect(await answer).toBe('b')

    bus.bind('/local/activity/SetState', async () => null)
    const call = {
      kind: 'call-request',
      caller: 'x',
      requestId: '9',
      data: Body.of({}).bytes(),
      noReply: false,
    } as const
    raw.send({ ...call, address: '/local/activity/SetState' })
    raw.send({ ...call, address: '/local/no/One', requestId: '10' })
    await letTravel(() => raw.of('call-reply').length === 2)
    expect(raw.of('call-reply').find((reply) => reply.requestId === '9')).toMatchObject({ code: 0, type: 0 })
    expect(raw.of('call-reply').find((reply) => reply.requestId === '10')).toMatchObject({ code: 400 })
  })
  it('ends a stream that a process sends faster than its caller reads', async () => {
    const { bus } = await daemon()
    const raw = await attachRaw()
    raw.send({ kind: 'register-request', serviceId: '/public/exeunit/1' })
    await letTravel(() => raw.of('register-reply').length === 1)
    const reader = bus.stream('/public/exeunit/1/Out', null)[Symbol.asyncIterator]()
    const first = reader.next()
    await letTravel(() => raw.of('call-request').length === 1)
    const { requestId } = raw.of('call-request')[0]!
    const data = Body.of({ Ok: 1 }).bytes()
    for (let index = 0; index < 2_000; index++) raw.send({ kind: 'call-reply', requestId, code: 0, type: 1, data })
    raw.send({ kind: 'ping' })
    await first
    await letTravel(() => raw.of('pong').length === 1)
    const draining = (async () => {
      for (let item = await reader.next(); !item.done; item = await reader.next());
    })()
    expect(await busErrorCode(draining)).toBe('overloaded')
  })
  it.each([
    ['an endless frame', 'ffffffff'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n').toString('hex')],
    ['a packet of nothing', '00000000'],
  ])('hangs up on %s', async (_, bytes) => {
    await daemon()
    const raw = await attachRaw()
    raw.socket.write(Buffer.from(bytes, 'hex'))
    await letTravel(raw.isClosed, 'the end')
  })
})

describe('bus addresses', () => {
  it.each([
    ['unix:/tmp/a.sock', { kind: 'unix', path: '/tmp/a.sock' }],
    ['unix:///tmp/a.sock', { kind: 'unix', path: '/tmp/a.sock' }],
    ['tcp://127.0.0.1:99', { kind: 'tcp', host: '127.0.0.1', port: 99 }],
    ['tcp://localhost', { kind: 'tcp', host: 'localhost', port: 7464 }],
    ['tcp://[::1]:5', { kind: 'tcp', host: '::1', port: 5 }],
  ])('%s', (url, address) => expect(parseSocketUrl(url)).toEqual(address))

  it.each(['', 'unix:', 'http://127.0.0.1:1', 'tcp://10.0.0.1:1', 'tcp://0.0.0.0:1', `unix:/${'x'.repeat(200)}`])(
    '%s is refused',
    (url) => expect(() => parseSocketUrl(url)).toThrow(expect.objectContaining({ code: 'bad-request' })),
  )
})
