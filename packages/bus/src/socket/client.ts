import { connect, type NetConnectOpts } from 'node:net'
import { type Clock, type Logger, messageOf, parseNodeId, type Random, type Unregister } from '@emet/core'
import { Body } from '../body.ts'
import { createBus } from '../bus.ts'
import { BusError } from '../errors.ts'
import { broadcastBody, unpackBody } from '../gsb/calls.ts'
import type { Packet } from '../gsb/packet.ts'
import type { Bus, BusCall, Caller } from '../types.ts'
import { CONNECT_TIMEOUT_MS, RECONNECT_DELAY_MAX_MS, RECONNECT_DELAY_MIN_MS, SEND_AHEAD_BYTES } from './limits.ts'
import { createLink, type Link } from './link.ts'
import { createRegistrations, type Registrations } from './registrations.ts'
import { parseSocketUrl, type SocketAddress, socketOptions } from './url.ts'

export type BusClientDeps = { readonly clock: Clock; readonly random: Random; readonly logger: Logger }

export type BusClientOptions = {
  /** Where the daemon listens: `unix:<path>` or `tcp://127.0.0.1:<port>`. */
  readonly url: string
  /** How long a reply may take by default. */
  readonly timeoutMs?: number
}

/** The daemon's bus, as an attached process sees it. */
export interface AttachedBus extends Bus {
  /** Whether the connection stands. */
  readonly isAttached: boolean
  /**
   * Resolves when everything bound, routed and subscribed so far is known to the daemon. Throws `BusError`
   * `address-taken` or `bad-request` when it has refused something, `closed` after `close`.
   */
  registered(): Promise<void>
}

/**
 * Attaches this process to a daemon. Resolves when the connection stands; fails with `BusError` `unreachable`.
 *
 * When the connection breaks, it is made again, with growing pauses and without end, and everything bound, routed and
 * subscribed is registered anew: an attached process outlives the daemon. Calls under way fail with `closed`; new ones
 * wait for the connection within their own time.
 */
export async function connectBus(deps: BusClientDeps, options: BusClientOptions): Promise<AttachedBus> {
  const address = parseSocketUrl(options.url)
  const inner = createBus(deps, options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs })
  const registrations = createRegistrations(deps)
  const closing = new AbortController()
  const attachment = createAttachment()

  const attachOnce = async (): Promise<Link> => {
    const link = await openLink(deps, address, inner, registrations, closing.signal)
    attachment.set(link)
    registrations.attach(link)
    return link
  }
  const keepAttached = async (first: Link): Promise<void> => {
    for (let link = first; ; ) {
      await untilAborted(link.ended)
      attachment.clear()
      registrations.detach()
      if (closing.signal.aborted) return
      deps.logger.warn('the daemon has gone; attaching again', { url: options.url })
      link = await retry(deps.clock, closing.signal, attachOnce)
    }
  }
  async function* forward(call: BusCall): AsyncIterable<Body> {
    const link = await attachment.get(call.signal)
    yield* link.call(call)
  }
  inner.route('/', forward)
  const link = await attachOnce()
  keepAttached(link).catch((error) => {
    if (!closing.signal.aborted) deps.logger.error('the bus connection cannot be kept', { error: messageOf(error) })
  })
  return {
    ...inner,
    bind: (at, handler) => both(inner.bind(at, handler), registrations.add('service', at)),
    route: (prefix, forwarder) => both(inner.route(prefix, forwarder), registrations.add('service', prefix)),
    subscribe: (topic, handler) => both(inner.subscribe(topic, handler), registrations.add('topic', topic)),
    publish: (topic, body, caller) => {
      inner.publish(topic, body, caller)
      const value = body instanceof Body ? body.value() : body
      const data = Body.of({ id: null, topic, body: value }).bytes()
      const packet: Packet = { kind: 'broadcast-request', caller: caller?.nodeId ?? '', topic, data }
      // Casts are best effort.
      attachment
        .current()
        ?.send(packet)
        .catch(() => {})
    },
    get isAttached() {
      return attachment.current() !== undefined
    },
    registered: () => registrations.settled(),
    close: () => {
      closing.abort(new BusError('closed', 'the bus is closed'))
      registrations.close()
      attachment.current()?.close('this process detaches')
      inner.close()
    },
  }
}

/** Opens the connection and serves the daemon's calls over it. */
async function openLink(
  deps: BusClientDeps,
  address: SocketAddress,
  bus: Bus,
  registrations: Registrations,
  signal: AbortSignal,
): Promise<Link> {
  const socket = await openSocket(deps.clock, address, signal)
  const link = createLink(deps, socket, {
    onCall: ({ address: at, caller, data, noReply }, callSignal) =>
      bus.send({
        address: at,
        caller: callerOf(caller),
        body: unpackBody(data),
        mode: noReply ? 'none' : 'stream',
        signal: callSignal,
      }),
    onPacket: (packet) => {
      if (packet.kind === 'broadcast-request') bus.publish(packet.topic, broadcastBody(packet), callerOf(packet.caller))
      else if (packet.kind === 'register-reply' || packet.kind === 'subscribe-reply') registrations.reply(packet)
    },
  })
  const onClosing = () => link.close('this process detaches')
  signal.addEventListener('abort', onClosing, { once: true })
  link.ended.addEventListener('abort', () => signal.removeEventListener('abort', onClosing), { once: true })
  return link
}

function openSocket(clock: Clock, address: SocketAddress, signal: AbortSignal) {
  return new Promise<ReturnType<typeof connect>>((resolve, reject) => {
    const socket = connect(withRoom(socketOptions(address)))
    socket.setNoDelay(true)
    const fail = (cause: unknown) => {
      stopTimer()
      socket.destroy()
      const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`
      const message = `no daemon answers at ${where} (${messageOf(cause)}); start it, or check the bus address`
      reject(new BusError('unreachable', message, { where }, { cause }))
    }
    const onAbort = () => fail(signal.reason)
    const stopTimer = clock.setTimer(CONNECT_TIMEOUT_MS, () => fail(new Error(`after ${CONNECT_TIMEOUT_MS} ms`)))
    socket.once('error', fail)
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('connect', () => {
      stopTimer()
      socket.off('error', fail)
      signal.removeEventListener('abort', onAbort)
      resolve(socket)
    })
  })
}

/** The options of the socket, which passes on those of its stream. */
function withRoom(options: ReturnType<typeof socketOptions>): NetConnectOpts {
  return Object.assign(options, { writableHighWaterMark: SEND_AHEAD_BYTES })
}

/** The connection of the moment, for calls to wait for. */
function createAttachment() {
  let link: Link | undefined
  const waiting = new Set<(link: Link) => void>()
  const get = (signal: AbortSignal): Promise<Link> => {
    if (link) return Promise.resolve(link)
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        waiting.delete(found)
        reject(signal.reason)
      }
      const found = (next: Link) => {
        signal.removeEventListener('abort', onAbort)
        resolve(next)
      }
      if (signal.aborted) return onAbort()
      waiting.add(found)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
  return {
    get,
    current: () => link,
    set: (next: Link) => {
      link = next
      for (const found of [...waiting]) found(next)
      waiting.clear()
    },
    clear: () => {
      link = undefined
    },
  }
}

/** Repeats `attempt` with growing pauses until it succeeds. Throws only when `signal` aborts. */
async function retry<T>(clock: Clock, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let delayMs = RECONNECT_DELAY_MIN_MS; ; delayMs = Math.min(delayMs * 2, RECONNECT_DELAY_MAX_MS)) {
    await clock.sleep(delayMs, signal)
    try {
      return await attempt()
    } catch {
      signal.throwIfAborted()
    }
  }
}

/** Golem wire: the caller is a NodeId for calls from the network, anything else for the daemon's own. */
function callerOf(text: string): Caller {
  const nodeId = parseNodeId(text)
  return nodeId ? { kind: 'peer', nodeId } : { kind: 'local' }
}

function both(first: Unregister, second: Unregister): Unregister {
  return () => {
    first()
    second()
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
