/**
 * Bus services of REST clients: a client binds an address, and answers its calls over a WebSocket. Golem wire: gsb-api,
 * spec/rest-api.md §2.7. FlexBuffers in binary frames: `{id, component, payload}` out, `{id, payload}` or `{id, error}` in.
 */
import { type gsbApi, ReplyWithHeaders, RestError, type RouteHandlers } from '@emet/api'
import {
  type Body,
  type Bus,
  type BusCall,
  BusError,
  decodeFlexbuffers,
  encodeFlexbuffers,
  errBody,
  okBody,
} from '@emet/bus'
import { messageOf, type Random, randomUuid, type Unregister } from '@emet/core'
import type { WebSocket } from '@fastify/websocket'
import { z } from 'zod'
import { SERVICE_CALLS_MAX, SERVICES_MAX } from './options.ts'

/** Golem wire: WebSocket close codes. */
const CLOSE_UNSUPPORTED = 1003
const CLOSE_POLICY = 1008

type Waiting = { readonly request: Uint8Array; resolve(body: Body): void; reject(error: Error): void }

type Service = {
  readonly on: string
  readonly components: ReadonlySet<string>
  readonly waiting: Map<string, Waiting>
  socket: WebSocket | undefined
  unbind: Unregister
}

const answerSchema = z.object({ id: z.string(), payload: z.unknown().optional(), error: z.unknown().optional() })

export interface ClientServices {
  /** Binds; returns the service's id. Throws `BusError` `address-taken`, `bad-request` or `overloaded`. */
  bind(on: string, components: readonly string[]): string
  unbind(id: string): boolean
  has(id: string): boolean
  /** Lets the client behind `socket` answer the calls, instead of the one before. */
  attach(id: string, socket: WebSocket): void
  /** Unbinds everything. */
  stop(): void
}

/** No services yet. */
export function createClientServices(deps: { readonly bus: Bus; readonly random: Random }): ClientServices {
  const services = new Map<string, Service>()

  const bind: ClientServices['bind'] = (on, components) => {
    if (services.size >= SERVICES_MAX)
      throw new BusError('overloaded', `${SERVICES_MAX} services are bound; delete some`)
    const id = serviceId(on)
    const service: Service = {
      on,
      components: new Set(components),
      waiting: new Map(),
      socket: undefined,
      unbind: () => {},
    }
    service.unbind = deps.bus.route(on, async function* (call) {
      yield await ask(service, call, randomUuid(deps.random))
    })
    services.set(id, service)
    return id
  }
  const unbind: ClientServices['unbind'] = (id) => {
    const service = services.get(id)
    if (!service) return false
    services.delete(id)
    service.unbind()
    failAll(service, 'the service was deleted')
    service.socket?.close()
    return true
  }
  return {
    bind,
    unbind,
    has: (id) => services.has(id),
    attach: (id, socket) => {
      const service = services.get(id)
      if (service) attach(service, socket)
      else socket.close(CLOSE_POLICY, 'the service was deleted')
    },
    stop: () => {
      for (const id of [...services.keys()]) unbind(id)
    },
  }
}

/** Golem wire: base64url of the address, without padding. */
function serviceId(on: string): string {
  return Buffer.from(on).toString('base64url')
}

/** One call, answered by the client. It waits for a client if there is none, as long as the caller does. */
async function ask(service: Service, call: BusCall, id: string): Promise<Body> {
  const component = call.address.slice(service.on.length + 1)
  if (!service.components.has(component)) {
    throw new BusError('bad-request', `${service.on} has no component ${JSON.stringify(component.slice(0, 100))}`)
  }
  if (service.waiting.size >= SERVICE_CALLS_MAX) {
    throw new BusError('overloaded', `${SERVICE_CALLS_MAX} calls of ${service.on} wait for its client`)
  }
  // Golem wire: a unit arrives as an empty map.
  const request = encodeFlexbuffers({ id, component, payload: call.body.value() ?? {} })
  let onAbort = () => {}
  try {
    return await new Promise<Body>((resolve, reject) => {
      onAbort = () => reject(call.signal.reason)
      call.signal.addEventListener('abort', onAbort, { once: true })
      service.waiting.set(id, { request, resolve, reject })
      service.socket?.send(request)
    })
  } finally {
    call.signal.removeEventListener('abort', onAbort)
    service.waiting.delete(id)
  }
}

function attach(service: Service, socket: WebSocket): void {
  service.socket?.close(CLOSE_POLICY, 'Closing old WS connection in favour of new WS connection')
  service.socket = socket
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (!isBinary) return socket.close(CLOSE_UNSUPPORTED, 'Text msg unsupported.')
    try {
      takeAnswer(service, answerSchema.parse(decodeFlexbuffers(data)))
    } catch (error) {
      failAll(service, `its client sent what cannot be read: ${messageOf(error)}`)
      socket.close(CLOSE_POLICY, 'not FlexBuffers of the form { id, payload } or { id, error }')
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    if (service.socket !== socket) return
    service.socket = undefined
    failAll(service, 'its client has gone')
  })
  for (const { request } of service.waiting.values()) socket.send(request)
}

function takeAnswer(service: Service, answer: z.output<typeof answerSchema>): void {
  const { error, payload } = answer
  const isError = typeof error === 'object' && error !== null && Object.keys(error).length > 0
  service.waiting.get(answer.id)?.resolve(isError ? errBody(error) : okBody(withBytes(payload)))
}

/** Clients may send a chunk's bytes as a list of numbers; exe-units want a blob. */
function withBytes(payload: unknown): unknown {
  if (typeof payload !== 'object' || payload === null || !('content' in payload)) return payload
  const { content } = payload
  return Array.isArray(content) ? { ...payload, content: Uint8Array.from(content) } : payload
}

function failAll(service: Service, why: string): void {
  const error = new BusError('closed', `${service.on}: ${why}`, { on: service.on })
  for (const waiting of service.waiting.values()) waiting.reject(error)
}

/** The HTTP routes. */
export function gsbRoutes(services: ClientServices): RouteHandlers<typeof gsbApi> {
  return {
    createService: async ({ body: { listen } }) => {
      try {
        const servicesId = services.bind(listen.on, listen.components)
        return new ReplyWithHeaders({ listen, servicesId }, { location: `/${servicesId}` })
      } catch (error) {
        if (!(error instanceof BusError)) throw error
        throw new RestError(400, `Bad request: listen.on: ${error.message}`, { cause: error })
      }
    },
    deleteService: async ({ params: { servicesId } }) => {
      checkId(servicesId)
      if (services.unbind(servicesId)) return null
      throw notBound(servicesId)
    },
  }
}

/** The WebSocket route: first the check, then what is done with the socket. */
export function gsbWebSockets(services: ClientServices): {
  openService(request: { readonly params: { readonly servicesId: string } }): Promise<(socket: WebSocket) => void>
} {
  return {
    openService: async ({ params: { servicesId } }) => {
      checkId(servicesId)
      if (!services.has(servicesId)) throw notBound(servicesId)
      return (socket) => services.attach(servicesId, socket)
    },
  }
}

function checkId(id: string): void {
  if (/^[A-Za-z0-9_-]+$/.test(id)) return
  throw new RestError(400, `Bad request: servicesId: not base64url: ${JSON.stringify(id.slice(0, 100))}`)
}

function notBound(id: string): RestError {
  return new RestError(404, `Not found: no service is bound as ${id.slice(0, 300)}`)
}
