/** The calling half of a session: calls under way to the peer, and their replies. */
import type { AbortOptions, NodeId } from '@emet/core'
import { NetError } from '../errors.ts'
import { checkPacketSize, createAssembler, sendPacket } from './fragments.ts'
import { encodeFrame, FRAME, type Frame } from './frame.ts'
import type { Outbox } from './outbox.ts'

/** Calls under way to one peer; further ones wait for their turn. */
export const CALLS_IN_FLIGHT_MAX = 512

/** Calls to one peer that wait for their turn. More fail with `busy`. */
export const CALLS_WAITING_MAX = 4096

/** Reply bytes of one call that may be under way before the caller has taken them. */
export const REPLY_WINDOW_BYTES = 256 * 1024

export interface Caller {
  call(packet: Uint8Array, options?: AbortOptions): AsyncIterable<Uint8Array>
  /** Takes a `reply`, `end` or `fail` frame. */
  onFrame(frame: Frame): void
  close(reason: Error): void
  readonly inFlight: number
}

/** `onDone` is called after each call. */
export function createCaller(peer: NodeId, outbox: Outbox, onDone: () => void): Caller {
  const inboxes = new Map<number, Inbox>()
  const assembler = createAssembler(CALLS_IN_FLIGHT_MAX)
  const turns = createTurns(peer)
  let lastId = 0
  let closed: Error | undefined

  async function* call(packet: Uint8Array, options: AbortOptions = {}): AsyncGenerator<Uint8Array> {
    checkPacketSize(packet)
    if (closed) throw closed
    await turns.take(options.signal)
    const id = nextId()
    const inbox = createInbox(options.signal)
    inboxes.set(id, inbox)
    try {
      if (closed) throw closed
      await sendPacket(outbox, FRAME.call, id, packet, inbox.signal)
      yield* takeReplies(id, inbox)
    } finally {
      if (!inbox.ended) outbox.control(encodeFrame(FRAME.cancel, id))
      inboxes.delete(id)
      assembler.drop(FRAME.reply, id)
      inbox.dispose()
      turns.giveBack()
      onDone()
    }
  }
  async function* takeReplies(id: number, inbox: Inbox): AsyncGenerator<Uint8Array> {
    let taken = 0
    for (let reply = await inbox.next(); reply; reply = await inbox.next()) {
      yield reply
      taken += reply.length
      if (taken < REPLY_WINDOW_BYTES / 2 || inbox.ended) continue
      outbox.control(encodeFrame(FRAME.credit, id, u32(taken)))
      taken = 0
    }
  }
  const nextId = () => {
    do lastId = lastId >= 0xffff_ffff ? 1 : lastId + 1
    while (inboxes.has(lastId))
    return lastId
  }
  return {
    call,
    onFrame: (frame) => {
      const inbox = inboxes.get(frame.id)
      if (!inbox) return
      if (frame.kind === FRAME.end) return inbox.end()
      if (frame.kind === FRAME.fail) return inbox.fail(failureOf(peer, frame.payload))
      const reply = assembler.add(frame)
      if (reply) inbox.push(reply)
    },
    close: (reason) => {
      closed ??= reason
      turns.close(reason)
      for (const inbox of inboxes.values()) inbox.fail(reason)
    },
    get inFlight() {
      return inboxes.size
    },
  }
}

type Inbox = ReturnType<typeof createInbox>

/** The replies of one call that have come and are not taken yet. */
function createInbox(outer: AbortSignal | undefined) {
  const replies: Uint8Array[] = []
  const stop = new AbortController()
  let ended = false
  let failure: Error | undefined
  let wake: () => void = () => {}

  const onAbort = () => {
    failure ??= outer?.reason
    stop.abort(outer?.reason)
    wake()
  }
  if (outer?.aborted) onAbort()
  outer?.addEventListener('abort', onAbort, { once: true })
  return {
    /** Aborts when the call is given up or has failed: no use to send more of it. */
    signal: stop.signal,
    get ended() {
      return ended
    },
    push: (reply: Uint8Array) => {
      replies.push(reply)
      wake()
    },
    end: () => {
      ended = true
      wake()
    },
    fail: (reason: Error) => {
      ended = true
      failure ??= reason
      stop.abort(reason)
      wake()
    },
    next: async (): Promise<Uint8Array | undefined> => {
      for (;;) {
        if (outer?.aborted) throw outer.reason
        const reply = replies.shift()
        if (reply) return reply
        if (failure) throw failure
        if (ended) return undefined
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    dispose: () => outer?.removeEventListener('abort', onAbort),
  }
}

/** Lets `CALLS_IN_FLIGHT_MAX` calls run at once, in the order they came. */
function createTurns(peer: NodeId) {
  type Waiter = { run: () => void; fail: (reason: Error) => void }
  const waiting = new Set<Waiter>()
  let running = 0

  const wait = (signal: AbortSignal | undefined) =>
    new Promise<void>((resolve, reject) => {
      const leave = () => {
        waiting.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = () => waiter.fail(signal?.reason)
      const waiter: Waiter = {
        run: () => {
          leave()
          resolve()
        },
        fail: (reason) => {
          leave()
          reject(reason)
        },
      }
      waiting.add(waiter)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  return {
    take: async (signal: AbortSignal | undefined) => {
      signal?.throwIfAborted()
      if (running < CALLS_IN_FLIGHT_MAX) {
        running++
        return
      }
      if (waiting.size >= CALLS_WAITING_MAX) {
        throw new NetError('busy', `${CALLS_WAITING_MAX} calls to ${peer} wait already; try again later`, {
          nodeId: peer,
        })
      }
      await wait(signal)
    },
    /** The next one takes over the turn. */
    giveBack: () => {
      const [next] = waiting
      if (next) next.run()
      else running--
    },
    close: (reason: Error) => {
      for (const waiter of [...waiting]) waiter.fail(reason)
    },
  }
}

/** The callee's words, bounded. */
function failureOf(peer: NodeId, payload: Uint8Array): NetError {
  const text = new TextDecoder().decode(payload.subarray(0, 1024))
  const busy = text.startsWith('busy')
  return new NetError(busy ? 'busy' : 'refused', `${peer} did not serve the call: ${text}`, { nodeId: peer })
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}
