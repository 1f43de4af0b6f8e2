import { chmod, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Clock, type Logger, messageOf, type Random, type Service, type Unregister } from '@emet/core'
import { Body } from '../body.ts'
import { BusError, type BusErrorCode } from '../errors.ts'
import { broadcastBody, unpackBody } from '../gsb/calls.ts'
import { type Packet, RouterCode } from '../gsb/packet.ts'
import type { Bus, Caller } from '../types.ts'
import { CONNECTIONS_MAX, REGISTRATIONS_MAX, SEND_AHEAD_BYTES } from './limits.ts'
import { createLink, type Link } from './link.ts'
import { parseSocketUrl, type SocketAddress, socketOptions } from './url.ts'

export type BusServerDeps = {
  /** The daemon's bus, which the attached processes join. */
  readonly bus: Bus
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export type BusServerOptions = {
  /** `unix:<path>` or `tcp://127.0.0.1:<port>`; port 0 takes a free one. */
  readonly url: string
}

export interface BusServer extends Service {
  /** The address to attach to. Complete once started. */
  readonly url: string
}

/** What an attached process is, whatever it says: a part of this node. The socket is only open to the node's own user. */
const ATTACHED: Caller = { kind: 'local' }

/**
 * The router on a local socket. A process attaches, registers prefixes of addresses that it serves, calls, is called,
 * and subscribes to topics. Everything it has registered ends with its connection.
 */
export function createBusServer(deps: BusServerDeps, options: BusServerOptions): BusServer {
  const address = parseSocketUrl(options.url)
  const links = new Set<Link>()
  let server: Server | undefined
  let url = options.url
  // Set while a process's own cast goes out, so that it does not come back to it.
  const origin: { link: Link | undefined } = { link: undefined }

  const accept = (socket: Socket): void => {
    socket.setNoDelay(true)
    const link = attach(deps, socket, origin)
    links.add(link)
    link.ended.addEventListener('abort', () => links.delete(link), { once: true })
  }
  return {
    get url() {
      return url
    },
    start: async () => {
      if (address.kind === 'unix') await removeStaleSocket(address.path)
      server = await listen(address, accept)
      const bound = server.address()
      if (address.kind === 'tcp' && typeof bound === 'object' && bound) url = `tcp://${hostOf(address)}:${bound.port}`
      if (address.kind === 'unix') await chmod(address.path, 0o600)
    },
    stop: async () => {
      for (const link of [...links]) link.close('the bus server stops')
      const closing = server
      server = undefined
      if (closing) await new Promise<void>((resolve) => closing.close(() => resolve()))
    },
  }
}

/** Serves one attached process until its connection ends. */
function attach(deps: BusServerDeps, socket: Socket, origin: { link: Link | undefined }): Link {
  const { bus, logger } = deps
  const services = new Map<string, Unregister>()
  const topics = new Map<string, Unregister>()

  const reply = (packet: Packet): void => {
    link.send(packet).catch((error) => logger.debug('a bus packet was not sent', { error: messageOf(error) }))
  }
  const add = (
    table: Map<string, Unregister>,
    key: string,
    work: () => Unregister,
  ): { code: number; message: string } => {
    if (services.size + topics.size >= REGISTRATIONS_MAX) {
      return { code: RouterCode.badRequest, message: `more than ${REGISTRATIONS_MAX} registrations` }
    }
    if (table.has(key)) return { code: RouterCode.conflict, message: `${key} is already registered by this process` }
    try {
      table.set(key, work())
      return { code: RouterCode.ok, message: '' }
    } catch (error) {
      const code: BusErrorCode | undefined = error instanceof BusError ? error.code : undefined
      return { code: code === 'address-taken' ? RouterCode.conflict : RouterCode.badRequest, message: messageOf(error) }
    }
  }
  const remove = (table: Map<string, Unregister>, key: string): number => {
    table.get(key)?.()
    return table.delete(key) ? RouterCode.ok : RouterCode.notFound
  }
  const publish = (packet: Packet & { kind: 'broadcast-request' }): void => {
    origin.link = link
    try {
      bus.publish(packet.topic, broadcastBody(packet), ATTACHED)
    } finally {
      origin.link = undefined
    }
    reply({ kind: 'broadcast-reply', code: RouterCode.ok, message: '' })
  }
  const subscribe = (topic: string): Unregister =>
    bus.subscribe(topic, (body, caller) => {
      if (origin.link === link) return
      const data = Body.of({ id: null, topic, body: body.value() }).bytes()
      reply({ kind: 'broadcast-request', caller: caller.nodeId ?? '', topic, data })
    })
  const onPacket = (packet: Packet): void => {
    if (packet.kind === 'register-request') {
      const route = () => bus.route(packet.serviceId, (call) => link.call(call))
      reply({ kind: 'register-reply', ...add(services, packet.serviceId, route) })
    } else if (packet.kind === 'unregister-request') {
      reply({ kind: 'unregister-reply', code: remove(services, packet.serviceId) })
    } else if (packet.kind === 'subscribe-request') {
      reply({ kind: 'subscribe-reply', ...add(topics, packet.topic, () => subscribe(packet.topic)) })
    } else if (packet.kind === 'unsubscribe-request') {
      reply({ kind: 'unsubscribe-reply', code: remove(topics, packet.topic) })
    } else if (packet.kind === 'broadcast-request') publish(packet)
  }
  const link = createLink(deps, socket, {
    onCall: ({ address, data, noReply }, signal) =>
      bus.send({ address, caller: ATTACHED, body: unpackBody(data), mode: noReply ? 'none' : 'stream', signal }),
    onPacket,
  })
  link.ended.addEventListener('abort', () => {
    for (const end of [...services.values(), ...topics.values()]) end()
  })
  return link
}

function listen(address: SocketAddress, accept: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ highWaterMark: SEND_AHEAD_BYTES }, accept)
    server.maxConnections = CONNECTIONS_MAX
    server.once('error', reject)
    server.listen(socketOptions(address), () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

/** Removes the socket file of a daemon that has died; fails with `address-taken` when one listens there. */
async function removeStaleSocket(path: string): Promise<void> {
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (isAlive) {
    throw new BusError('address-taken', `another daemon listens at ${path}; stop it, or choose another bus address`)
  }
  await unlink(path).catch(() => {})
}

function hostOf(address: { host: string }): string {
  return address.host.includes(':') ? `[${address.host}]` : address.host
}
