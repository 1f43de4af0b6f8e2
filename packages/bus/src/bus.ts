import { type AbortOptions, type Clock, type Logger, messageOf, type Unregister } from '@emet/core'
import { orAbort } from './abort.ts'
import { Body } from './body.ts'
import { BusError } from './errors.ts'
import { forwarderOf, unwrapResult } from './result.ts'
import { createRoutingTable } from './routing.ts'
import type { Bus, BusCall, Caller, CallOptions, ReplyMode } from './types.ts'

/** How long a reply may take unless the caller says otherwise. */
export const CALL_TIMEOUT_MS = 60_000
/** Calls under way at one time, in one bus. */
export const CONCURRENT_CALLS_MAX = 10_000
/** Subscribers of all topics of one bus. */
export const SUBSCRIBERS_MAX = 10_000

export type BusDeps = { readonly clock: Clock; readonly logger: Logger }

export type BusOptions = {
  /** How long a reply may take by default. Default `CALL_TIMEOUT_MS`. */
  readonly timeoutMs?: number
  /** Calls under way at one time. Default `CONCURRENT_CALLS_MAX`. */
  readonly concurrentCallsMax?: number
}

type TopicHandler = (body: Body, caller: Caller) => void

const LOCAL: Caller = { kind: 'local' }

/** The bus of one process. Nothing is encoded; a call is a function call with a deadline. */
export function createBus(deps: BusDeps, options: BusOptions = {}): Bus {
  const { clock, logger } = deps
  const table = createRoutingTable()
  const closing = new AbortController()
  const concurrentCallsMax = options.concurrentCallsMax ?? CONCURRENT_CALLS_MAX
  let callsUnderWay = 0

  const send = (call: BusCall): AsyncIterable<Body> => {
    if (closing.signal.aborted) throw closing.signal.reason
    return table.find(call.address)(call)
  }

  /** One call under way: a deadline for each reply, and an end that always lets go of everything. */
  const open = (address: string, body: unknown, mode: ReplyMode, given: CallOptions) => {
    if (closing.signal.aborted) throw closing.signal.reason
    if (callsUnderWay >= concurrentCallsMax) throw overloaded(address, concurrentCallsMax)
    const cancel = linkedController([closing.signal, given.signal])
    const timeoutMs = given.timeoutMs ?? options.timeoutMs ?? CALL_TIMEOUT_MS
    callsUnderWay++
    let replies: AsyncIterator<Body> | undefined
    let isOver = false
    const end = () => {
      if (isOver) return
      isOver = true
      callsUnderWay--
      cancel.unlink()
      // The forwarder may still be waiting for something that ignores the signal; nobody waits for it to notice.
      replies?.return?.()?.catch(() => {})
    }
    const next = async (): Promise<IteratorResult<Body>> => {
      cancel.signal.throwIfAborted()
      const stopTimer = clock.setTimer(timeoutMs, () => cancel.abort(timedOut(address, timeoutMs)))
      try {
        const call = { address, caller: given.caller ?? LOCAL, body: bodyOf(body), mode, signal: cancel.signal }
        replies ??= send(call)[Symbol.asyncIterator]()
        return await orAbort(replies.next(), cancel.signal)
      } finally {
        stopTimer()
      }
    }
    return { next, end, abort: cancel.abort }
  }

  const call = async (address: string, body: unknown, given: CallOptions = {}): Promise<unknown> => {
    const run = open(address, body, 'one', given)
    try {
      const reply = await run.next()
      if (!reply.done) return unwrapResult(reply.value)
      throw new BusError('closed', `${address} ended without a reply`, { address })
    } finally {
      run.end()
    }
  }
  async function* stream(address: string, body: unknown, given: CallOptions = {}): AsyncIterable<unknown> {
    const run = open(address, body, 'stream', given)
    let isDone = false
    try {
      for (;;) {
        const reply = await run.next()
        if (reply.done) break
        yield unwrapResult(reply.value)
      }
      isDone = true
    } finally {
      if (!isDone) run.abort(new BusError('closed', `the caller of ${address} has stopped listening`, { address }))
      run.end()
    }
  }
  const post = async (address: string, body: unknown, given: CallOptions): Promise<void> => {
    const run = open(address, body, 'none', given)
    try {
      while (!(await run.next()).done) {}
    } finally {
      run.end()
    }
  }
  const topics = createTopics(logger)
  return {
    bind: (address, handler) => table.bindExact(address, forwarderOf(handler)),
    route: (prefix, forward) => table.bindPrefix(prefix, forward),
    call,
    stream,
    post: (address, body, given = {}) => {
      post(address, body, given).catch((error) => logger.debug('a one-way message failed', { address, ...why(error) }))
    },
    send,
    publish: (topic, body, caller = LOCAL) => topics.publish(topic, bodyOf(body), caller),
    subscribe: topics.subscribe,
    close: () => closing.abort(new BusError('closed', 'the bus is closed')),
  }
}

function createTopics(logger: Logger) {
  const topics = new Map<string, Set<TopicHandler>>()
  let subscribers = 0

  const subscribe = (topic: string, handler: TopicHandler): Unregister => {
    if (subscribers >= SUBSCRIBERS_MAX) {
      throw new BusError('overloaded', `the bus has ${SUBSCRIBERS_MAX} subscribers; end some`, { topic })
    }
    // A wrapper, so that the same handler may subscribe twice.
    const entry: TopicHandler = (body, caller) => handler(body, caller)
    const handlers = topics.get(topic) ?? new Set()
    topics.set(topic, handlers.add(entry))
    subscribers++
    return () => {
      if (!handlers.delete(entry)) return
      subscribers--
      if (handlers.size === 0 && topics.get(topic) === handlers) topics.delete(topic)
    }
  }
  const publish = (topic: string, body: Body, caller: Caller): void => {
    for (const handler of [...(topics.get(topic) ?? [])]) {
      try {
        handler(body, caller)
      } catch (error) {
        logger.warn('a subscriber failed', { topic, ...why(error) })
      }
    }
  }
  return { subscribe, publish }
}

/** A body as it is; any other value becomes one. */
function bodyOf(body: unknown): Body {
  return body instanceof Body ? body : Body.of(body)
}

/** An abort controller that follows other signals until `unlink`. */
function linkedController(signals: readonly AbortOptions['signal'][]) {
  const controller = new AbortController()
  const undo: Unregister[] = []
  for (const signal of signals) {
    if (!signal) continue
    const follow = () => controller.abort(signal.reason)
    if (signal.aborted) follow()
    signal.addEventListener('abort', follow, { once: true })
    undo.push(() => signal.removeEventListener('abort', follow))
  }
  return {
    signal: controller.signal,
    abort: (reason: unknown) => controller.abort(reason),
    unlink: () => {
      for (const step of undo) step()
    },
  }
}

function timedOut(address: string, timeoutMs: number): BusError {
  return new BusError('timeout', `no reply from ${address} within ${timeoutMs} ms`, { address, timeoutMs })
}

function overloaded(address: string, max: number): BusError {
  return new BusError('overloaded', `${max} calls are under way; try again later`, { address, max })
}

function why(error: unknown) {
  return { error: messageOf(error) }
}
