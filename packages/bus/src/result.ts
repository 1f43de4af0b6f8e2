import { messageOf } from '@emet/core'
import { Body } from './body.ts'
import { BusError, ReplyError } from './errors.ts'
import type { BusCall, Forwarder, Handler } from './types.ts'

/** The reply body of a success. Golem wire: `Result::Ok`, where nothing is `null`. */
export function okBody(value: unknown): Body {
  return Body.of({ Ok: value === undefined ? null : value })
}

/** The reply body of a failure that the callee means. Golem wire: `Result::Err`. */
export function errBody(data: unknown): Body {
  return Body.of({ Err: data === undefined ? null : data })
}

/** The value inside a reply body. Throws `ReplyError` for `Err`, `BusError` `bad-request` for anything else. */
export function unwrapResult(body: Body): unknown {
  const result = body.value()
  if (typeof result === 'object' && result !== null && !Array.isArray(result)) {
    const { Ok: ok, Err: err } = result as { Ok?: unknown; Err?: unknown }
    if (ok !== undefined) return ok
    if (err !== undefined) throw new ReplyError(err)
  }
  throw new BusError('bad-request', 'the reply is neither { Ok } nor { Err }: the callee does not speak this protocol')
}

/** Turns a handler into a forwarder: wraps what it returns, yields or throws into result bodies. */
export function forwarderOf(handler: Handler): Forwarder {
  return async function* forwardToHandler(call) {
    try {
      const answer = handler(call)
      if (isAsyncIterable(answer)) {
        for await (const item of answer) yield okBody(item)
      } else {
        yield okBody(await answer)
      }
    } catch (thrown) {
      if (!(thrown instanceof ReplyError)) throw asBusError(thrown, call)
      yield errBody(thrown.data)
    }
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** What the caller sees of something a handler threw. */
function asBusError(thrown: unknown, call: BusCall): unknown {
  if (thrown instanceof BusError || (call.signal.aborted && thrown === call.signal.reason)) return thrown
  const message = `the handler of ${call.address} failed: ${messageOf(thrown)}`
  return new BusError('service-failure', message, { address: call.address }, { cause: thrown })
}
