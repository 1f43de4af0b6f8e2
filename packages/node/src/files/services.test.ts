import { EventEmitter } from 'node:events'
import { type Bus, createBus, decodeFlexbuffers, encodeFlexbuffers } from '@emet/bus'
import { silentLogger, systemClock } from '@emet/core'
import { createSeededRandom } from '@emet/core/testing'
import type { WebSocket } from '@fastify/websocket'
import { describe, expect, it } from 'vitest'
import { type ClientServices, createClientServices, gsbRoutes, gsbWebSockets } from './services.ts'

/** The client's end of a WebSocket. */
class FakeSocket extends EventEmitter {
  readonly sent: { id: string; component: string; payload: unknown }[] = []
  closed: unknown[] | undefined
  send(bytes: Uint8Array) {
    this.sent.push(decodeFlexbuffers(bytes) as FakeSocket['sent'][number])
    this.emit('request')
  }
  close(...why: unknown[]) {
    if (this.closed) return
    this.closed = why
    this.emit('close')
  }
  answer(value: unknown) {
    this.emit('message', Buffer.from(encodeFlexbuffers(value)), true)
  }
  asSocket(): WebSocket {
    return this as unknown as WebSocket
  }
}

const ON = '/public/gftp/12'
const setUp = (): { bus: Bus; services: ClientServices; id: string; socket: FakeSocket } => {
  const bus = createBus({ clock: systemClock, logger: silentLogger })
  const services = createClientServices({ bus, random: createSeededRandom(1) })
  const id = services.bind(ON, ['GetMetadata', 'GetChunk'])
  const socket = new FakeSocket()
  services.attach(id, socket.asSocket())
  return { bus, services, id, socket }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe("a client's bus service", () => {
  it('answers calls over its socket', async () => {
    const { bus, socket, id } = setUp()
    expect(Buffer.from(id, 'base64url').toString()).toBe(ON)
    const meta = bus.call(`${ON}/GetMetadata`, null)
    const chunk = bus.call(`${ON}/GetChunk`, { offset: 0, size: 2 })
    await turn()
    expect(socket.sent).toMatchObject([
      { component: 'GetMetadata', payload: {} },
      { component: 'GetChunk', payload: { offset: 0, size: 2 } },
    ])
    socket.answer({ id: socket.sent[1]!.id, payload: { offset: 0, content: [1, 2] } })
    socket.answer({ id: socket.sent[0]!.id, payload: { fileSize: 2 }, error: {} })
    socket.answer({ id: 'unknown', payload: null })
    expect(await meta).toEqual({ fileSize: 2 })
    expect(await chunk).toEqual({ offset: 0, content: new Uint8Array([1, 2]) })
  })
  it('answers with errors and with nothing', async () => {
    const { bus, socket } = setUp()
    const failing = bus.call(`${ON}/GetChunk`, {})
    const nothing = bus.call(`${ON}/GetChunk`, {})
    await turn()
    socket.answer({ id: socket.sent[0]!.id, error: { InternalError: 'no' } })
    socket.answer({ id: socket.sent[1]!.id, payload: null })
    await expect(failing).rejects.toMatchObject({ data: { InternalError: 'no' } })
    expect(await nothing).toBeNull()
  })
  it('has only the components it has named', async () => {
    const { bus } = setUp()
    await expect(bus.call(`${ON}/Delete`, {})).rejects.toMatchObject({ code: 'bad-request' })
    await expect(bus.call(`${ON}/GetChunk/more`, {})).rejects.toMatchObject({ code: 'bad-request' })
  })
  it('keeps calls for the next socket, and fails those its client has left', async () => {
    const { bus, services, id, socket } = setUp()
    const left = bus.call(`${ON}/GetMetadata`, null)
    const outcome = expect(left).rejects.toMatchObject({ code: 'closed' })
    await turn()
    socket.close()
    await outcome
    const kept = bus.call(`${ON}/GetMetadata`, null)
    await turn()
    const next = new FakeSocket()
    services.attach(id, next.asSocket())
    next.answer({ id: next.sent[0]!.id, payload: { fileSize: 1 } })
    expect(await kept).toEqual({ fileSize: 1 })
  })
  it('is served by the newest socket only', () => {
    const { services, id, socket } = setUp()
    services.attach(id, new FakeSocket().asSocket())
    expect(socket.closed).toEqual([1008, 'Closing old WS connection in favour of new WS connection'])
  })
  it.each([
    ['text', (socket: FakeSocket) => socket.emit('message', Buffer.from('{}'), false), 1003],
    ['damaged bytes', (socket: FakeSocket) => socket.emit('message', Buffer.from([1, 2, 3, 200]), true), 1008],
    ['another form', (socket: FakeSocket) => socket.answer([1]), 1008],
  ])('ends its socket at %s', async (_, send, code) => {
    const { bus, socket } = setUp()
    const waiting = expect(bus.call(`${ON}/GetMetadata`, null)).rejects.toMatchObject({ code: 'closed' })
    await turn()
    send(socket)
    expect(socket.closed?.[0]).toBe(code)
    await waiting
  })
  it('lets go of calls whose caller has given up', async () => {
    const { bus, socket } = setUp()
    const abort = new AbortController()
    const waiting = expect(bus.call(`${ON}/GetMetadata`, null, { signal: abort.signal })).rejects.toThrow('enough')
    await turn()
    abort.abort(new Error('enough'))
    await waiting
    socket.answer({ id: socket.sent[0]!.id, payload: 1 })
  })
})

describe('the gsb API', () => {
  const { services } = setUp()
  const routes = gsbRoutes(services)
  const request = {
    caller: undefined as never,
    headers: {},
    wantsEvents: false,
    signal: new AbortController().signal,
    query: undefined,
    params: undefined,
  }
  const listen = { on: '/public/gftp/34', components: ['GetChunk'] }

  it('binds and unbinds, with a Location', async () => {
    const made = await routes.createService({ ...request, body: { listen } })
    const servicesId = Buffer.from(listen.on).toString('base64url')
    expect(made).toMatchObject({ body: { listen, servicesId }, headers: { location: `/${servicesId}` } })
    await expect(routes.createService({ ...request, body: { listen } })).rejects.toMatchObject({ status: 400 })
    const params = { servicesId }
    expect(typeof (await gsbWebSockets(services).openService({ params }))).toBe('function')
    expect(await routes.deleteService({ ...request, params, body: undefined })).toBeNull()
    await expect(routes.deleteService({ ...request, params, body: undefined })).rejects.toMatchObject({ status: 404 })
  })
  it.each(['', 'no-slash'])('refuses to bind %j', async (on) => {
    const failing = routes.createService({ ...request, body: { listen: { on, components: [] } } })
    await expect(failing).rejects.toMatchObject({ status: 400 })
  })
  it.each([
    ['a b', 400],
    ['abcd', 404],
  ])('knows no service %j', async (servicesId, status) => {
    const opening = gsbWebSockets(services).openService({ params: { servicesId } })
    await expect(opening).rejects.toMatchObject({ status })
  })
})
