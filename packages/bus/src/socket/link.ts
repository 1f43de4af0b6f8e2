import type { Duplex } from 'node:stream'
import { type Clock, type Logger, messageOf, type Random, randomHexId } from '@emet/core'
import { untilAbort } from '../abort.ts'
import type { Body } from '../body.ts'
import { BusError } from '../errors.ts'
import { type CallReply, fromReplyPacket, toReplyPacket } from '../gsb/calls.ts'
import { createFrameReader, framePrefix } from '../gsb/framing.ts'
import {
  type CallReplyPacket,
  type CallRequestPacket,
  decodePacket,
  encodePacketPieces,
  type Packet,
} from '../gsb/packet.ts'
import { toCallReplies } from '../gsb/replies.ts'
import type { BusCall, Caller } from '../types.ts'
import {
  INCOMING_BYTES_MAX,
  INCOMING_CALLS_MAX,
  OUTGOING_CALLS_MAX,
  SEND_QUEUE_BYTES_MAX,
  STREAM_WINDOW,
} from './limits.ts'
import { createReplyQueue, type ReplyQueue } from './reply-queue.ts'

/** How an Emet process names itself in its hello: it understands `cancel` and `credit`. */
const EMET_HELLO = 'emet-bus'
const HELLO_VERSION = '1'

export type LinkDeps = { readonly clock: Clock; readonly random: Random; readonly logger: Logger }

export type LinkHandlers = {
  /** Serves a call of the other side. */
  onCall(packet: CallRequestPacket, signal: AbortSignal): AsyncIterable<Body>
  /** Takes any packet that is neither call, reply, hello nor ping. */
  onPacket(packet: Packet): void
}

/** One connection between a process and the router; both sides are alike. */
export type Link = {
  /** Sends a packet. Resolves when there is room for another one. */
  send(packet: Packet): Promise<void>
  /** Makes a call over the connection and yields the result bodies. */
  call(call: BusCall): AsyncIterable<Body>
  /** Aborts when the connection has ended, with a `BusError` `closed`. */
  readonly ended: AbortSignal
  close(why: string): void
}

/** Speaks GSB over `duplex`. Damaged input ends the connection: there is no way back into step. */
export function createLink(deps: LinkDeps, duplex: Duplex, handlers: LinkHandlers): Link {
  const { logger } = deps
  const ending = new AbortController()
  const calls = createOutgoingCalls()
  let isEmet = false

  const close = (why: string): void => {
    if (ending.signal.aborted) return
    const error = new BusError('closed', `the bus connection has ended: ${why}`)
    ending.abort(error)
    calls.failAll(error)
    served.abortAll(error)
    duplex.destroy()
  }
  const send = async (packet: Packet): Promise<void> => {
    ending.signal.throwIfAborted()
    const pieces = encodePacketPieces(packet)
    duplex.cork()
    duplex.write(framePrefix(pieces.reduce((sum, piece) => sum + piece.length, 0)))
    for (const piece of pieces) duplex.write(piece)
    duplex.uncork()
    if (duplex.writableLength > SEND_QUEUE_BYTES_MAX) close('the other side does not read')
    if (duplex.writableNeedDrain) await drained(duplex, ending.signal)
  }
  const trySend = (packet: Packet): void => {
    send(packet).catch((error) => logger.debug('a bus packet was not sent', { error: messageOf(error) }))
  }
  const served = createServedCalls(handlers.onCall, send, () => isEmet)

  const receive = (packet: Packet): void => {
    if (packet.kind === 'call-reply') calls.reply(packet.requestId, fromReplyPacket(packet))
    else if (packet.kind === 'call-request') served.start(packet)
    else if (packet.kind === 'cancel') served.cancel(packet.requestId)
    else if (packet.kind === 'credit') served.credit(packet.requestId, packet.count)
    else if (packet.kind === 'ping') trySend({ kind: 'pong' })
    else if (packet.kind === 'hello') isEmet = packet.name === EMET_HELLO
    else if (packet.kind !== 'pong') handlers.onPacket(packet)
  }
  const frames = createFrameReader()
  duplex.on('data', (bytes: Uint8Array) => {
    try {
      for (const packet of frames.push(bytes)) receive(decodePacket(packet))
    } catch (error) {
      logger.warn('a bus connection sent something that is no packet; closing it', { error: messageOf(error) })
      close(messageOf(error))
    }
  })
  duplex.on('error', (error) => close(messageOf(error)))
  duplex.on('close', () => close('the other side has gone'))

  async function* call(busCall: BusCall): AsyncIterable<Body> {
    ending.signal.throwIfAborted()
    const requestId = randomHexId(deps.random)
    const noReply = busCall.mode === 'none'
    const { address, caller, body } = busCall
    const request = { kind: 'call-request', caller: callerText(caller), address, requestId, noReply } as const
    if (noReply) return await send({ ...request, data: body.bytes() })
    const queue = calls.open(requestId, address)
    const onAbort = () => queue.push({ kind: 'failure', error: abortError(busCall.signal) })
    busCall.signal.addEventListener('abort', onAbort, { once: true })
    let isOver = false
    try {
      busCall.signal.throwIfAborted()
      await send({ ...request, data: body.bytes() })
      for (let used = 1; ; used++) {
        const reply = await queue.next()
        isOver = reply.kind !== 'partial' && !busCall.signal.aborted
        if (reply.kind === 'failure') throw reply.error
        if (reply.kind === 'end') return
        yield reply.body
        if (reply.kind === 'full') return
        if (isEmet && used % (STREAM_WINDOW / 2) === 0) {
          trySend({ kind: 'credit', requestId, count: STREAM_WINDOW / 2 })
        }
      }
    } finally {
      busCall.signal.removeEventListener('abort', onAbort)
      calls.close(requestId)
      if (!isOver && isEmet) trySend({ kind: 'cancel', requestId })
    }
  }
  trySend({ kind: 'hello', name: EMET_HELLO, version: HELLO_VERSION, instanceId: deps.random.bytes(16) })
  return { send, call, ended: ending.signal, close }
}

/** Calls to the other side that wait for replies. */
function createOutgoingCalls() {
  const queues = new Map<string, ReplyQueue>()
  return {
    open: (requestId: string, address: string): ReplyQueue => {
      if (queues.size >= OUTGOING_CALLS_MAX) {
        throw new BusError('overloaded', `${OUTGOING_CALLS_MAX} calls to the process wait for replies`, { address })
      }
      const queue = createReplyQueue()
      queues.set(requestId, queue)
      return queue
    },
    reply: (requestId: string, reply: CallReply) => queues.get(requestId)?.push(reply),
    close: (requestId: string) => queues.delete(requestId),
    failAll: (error: BusError) => {
      for (const queue of queues.values()) queue.push({ kind: 'failure', error })
    },
  }
}

type ServedCall = { readonly abort: AbortController; credit: number; wake?: (() => void) | undefined }

/** Calls of the other side that are being answered. */
function createServedCalls(
  onCall: LinkHandlers['onCall'],
  send: (packet: Packet) => Promise<void>,
  keepsWindow: () => boolean,
) {
  const running = new Map<string, ServedCall>()
  let bytesUnderWay = 0

  const mayContinue = async (served: ServedCall): Promise<void> => {
    while (keepsWindow() && served.credit <= 0 && !served.abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        served.wake = resolve
      })
    }
    served.credit--
    served.abort.signal.throwIfAborted()
  }
  const answer = async (packet: CallRequestPacket, served: ServedCall): Promise<void> => {
    const bodies = onCallSafely(onCall, packet, served.abort.signal)
    for await (const reply of untilAbort(toCallReplies(bodies), served.abort.signal)) {
      if (packet.noReply) continue
      const { packet: answer, isLast } = encodeReply(packet.requestId, reply)
      await send(answer)
      if (isLast) return
      await mayContinue(served)
    }
  }
  const start = (packet: CallRequestPacket): void => {
    const { requestId } = packet
    const isFull = running.size >= INCOMING_CALLS_MAX || bytesUnderWay + packet.data.length > INCOMING_BYTES_MAX
    if (isFull || running.has(requestId)) {
      const error = isFull
        ? new BusError('overloaded', 'too many calls of this process are under way; try again later')
        : new BusError('bad-request', 'a call with the same request id is under way')
      if (!packet.noReply) send(toReplyPacket(requestId, { kind: 'failure', error }, noBody)).catch(() => {})
      return
    }
    const served: ServedCall = { abort: new AbortController(), credit: STREAM_WINDOW - 1 }
    running.set(requestId, served)
    bytesUnderWay += packet.data.length
    answer(packet, served)
      // The connection or the caller is gone: there is nobody to tell.
      .catch(() => {})
      .finally(() => {
        running.delete(requestId)
        bytesUnderWay -= packet.data.length
      })
  }
  const stop = (served: ServedCall, error: BusError) => {
    served.abort.abort(error)
    served.wake?.()
  }
  return {
    start,
    cancel: (requestId: string) => {
      const served = running.get(requestId)
      if (served) stop(served, new BusError('closed', 'the caller has given up'))
    },
    credit: (requestId: string, count: number) => {
      const served = running.get(requestId)
      if (!served) return
      served.credit = Math.min(served.credit + count, STREAM_WINDOW)
      served.wake?.()
    },
    abortAll: (error: BusError) => {
      for (const served of running.values()) stop(served, error)
    },
  }
}

/** The reply as a packet; what cannot be encoded becomes a failure, so that the caller does not wait in vain. */
function encodeReply(requestId: string, reply: CallReply): { packet: CallReplyPacket; isLast: boolean } {
  try {
    const packet = toReplyPacket(requestId, reply, (body) => body.bytes())
    return { packet, isLast: reply.kind !== 'partial' }
  } catch (error) {
    const failure = new BusError('service-failure', `the reply cannot be sent: ${messageOf(error)}`)
    return { packet: toReplyPacket(requestId, { kind: 'failure', error: failure }, noBody), isLast: true }
  }
}

async function* onCallSafely(onCall: LinkHandlers['onCall'], packet: CallRequestPacket, signal: AbortSignal) {
  yield* onCall(packet, signal)
}

/** Golem wire: callers are NodeIds. A call of this node for no identity in particular names nobody. */
function callerText(caller: Caller): string {
  return caller.nodeId ?? ''
}

function abortError(signal: AbortSignal): BusError {
  const { reason } = signal
  return reason instanceof BusError ? reason : new BusError('closed', 'the caller has given up', {}, { cause: reason })
}

function noBody(): Uint8Array {
  return new Uint8Array()
}

function drained(duplex: Duplex, ended: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = () => {
      duplex.off('drain', finish)
      ended.removeEventListener('abort', finish)
      if (ended.aborted) reject(ended.reason)
      else resolve()
    }
    duplex.on('drain', finish)
    ended.addEventListener('abort', finish, { once: true })
  })
}
