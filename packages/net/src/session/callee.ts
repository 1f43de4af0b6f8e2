/** The serving half of a session: the peer's calls under way here. */
import { type Logger, messageOf } from '@emet/core'
import { NetError } from '../errors.ts'
import { CALLS_IN_FLIGHT_MAX, REPLY_WINDOW_BYTES } from './caller.ts'
import { createAssembler, sendPacket } from './fragments.ts'
import { encodeFrame, FRAME, type Frame } from './frame.ts'
import type { Outbox } from './outbox.ts'

export type Serve = (packet: Uint8Array, signal: AbortSignal) => AsyncIterable<Uint8Array>

export interface Callee {
  /** Takes a `call`, `cancel` or `credit` frame. */
  onFrame(frame: Frame): void
  close(reason: Error): void
  readonly inFlight: number
}

type Serving = { stop: AbortController; credit: number; wake: () => void }

/** `onDone` is called after each call. */
export function createCallee(outbox: Outbox, serve: Serve, logger: Logger, onDone: () => void): Callee {
  const underWay = new Map<number, Serving>()
  const assembler = createAssembler(CALLS_IN_FLIGHT_MAX)
  /** Counts cancelled calls too until their handler is done: who cancels does not get to start more. */
  let running = 0

  const run = async (id: number, packet: Uint8Array) => {
    const serving: Serving = { stop: new AbortController(), credit: REPLY_WINDOW_BYTES, wake: () => {} }
    underWay.set(id, serving)
    running++
    try {
      for await (const reply of serve(packet, serving.stop.signal)) {
        await roomFor(serving)
        serving.credit -= reply.length
        await sendPacket(outbox, FRAME.reply, id, reply, serving.stop.signal)
      }
      if (!serving.stop.signal.aborted) outbox.control(encodeFrame(FRAME.end, id))
    } catch (error) {
      if (!serving.stop.signal.aborted) fail(id, error)
    } finally {
      running--
      if (underWay.get(id) === serving) underWay.delete(id)
      onDone()
    }
  }
  const fail = (id: number, error: unknown) => {
    logger.warn('a call of the peer failed in the transport', { error: messageOf(error) })
    // Only our own words travel: other errors may hold secrets.
    const text = error instanceof NetError ? `${error.code}: ${error.message}` : 'failed: internal error'
    outbox.control(encodeFrame(FRAME.fail, id, new TextEncoder().encode(text)))
  }
  const begin = (frame: Frame) => {
    const packet = assembler.add(frame)
    if (!packet) return
    if (underWay.has(frame.id)) throw new NetError('protocol', `the peer used call id ${frame.id} twice`)
    if (running < CALLS_IN_FLIGHT_MAX) return void run(frame.id, packet)
    const text = `busy: ${CALLS_IN_FLIGHT_MAX} calls are under way`
    outbox.control(encodeFrame(FRAME.fail, frame.id, new TextEncoder().encode(text)))
  }
  const cancel = (id: number, reason: Error) => {
    assembler.drop(FRAME.call, id)
    const serving = underWay.get(id)
    if (!serving) return
    underWay.delete(id)
    serving.stop.abort(reason)
    serving.wake()
  }
  const addCredit = (frame: Frame) => {
    const serving = underWay.get(frame.id)
    if (!serving || frame.payload.length !== 4) return
    serving.credit += new DataView(frame.payload.buffer, frame.payload.byteOffset).getUint32(0)
    serving.wake()
  }
  return {
    onFrame: (frame) => {
      if (frame.kind === FRAME.call) begin(frame)
      else if (frame.kind === FRAME.cancel) cancel(frame.id, cancelled())
      else addCredit(frame)
    },
    close: (reason) => {
      for (const id of [...underWay.keys()]) cancel(id, reason)
    },
    get inFlight() {
      return running
    },
  }
}

const cancelled = () => new NetError('peer-gone', 'the caller has cancelled the call')

/** Waits until the caller has taken enough of the earlier replies. One reply may overdraw the window. */
async function roomFor(serving: Serving): Promise<void> {
  while (serving.credit <= 0) {
    serving.stop.signal.throwIfAborted()
    await new Promise<void>((resolve) => {
      serving.wake = resolve
    })
  }
  serving.stop.signal.throwIfAborted()
}
