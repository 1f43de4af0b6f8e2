import { messageOf } from '@emet/core'
import type { Body } from '../body.ts'
import { BusError } from '../errors.ts'
import type { CallReply } from './calls.ts'

/** Turns of the microtask queue in which a forwarder that has given its one reply also ends, however long the chain. */
const SETTLE_TURNS = 50

/**
 * What a callee's reply bodies are on the wire. One body at the end of which the forwarder ends at once is a `full` reply;
 * anything else is a stream: `partial` replies and an `end`. What the forwarder throws becomes a `failure`. Never throws.
 */
export async function* toCallReplies(bodies: AsyncIterable<Body>): AsyncIterable<CallReply> {
  const iterator = bodies[Symbol.asyncIterator]()
  let isDone = false
  try {
    const first = await iterator.next()
    if (first.done) {
      isDone = true
      return yield { kind: 'end' }
    }
    const following = iterator.next()
    const ended = await endsAtOnce(following)
    yield { kind: ended ? 'full' : 'partial', body: first.value }
    isDone = ended
    if (ended) return
    for (let item = await following; !item.done; item = await iterator.next())
      yield { kind: 'partial', body: item.value }
    isDone = true
    yield { kind: 'end' }
  } catch (error) {
    isDone = true
    yield { kind: 'failure', error: toBusError(error) }
  } finally {
    if (!isDone) iterator.return?.()?.catch(() => {})
  }
}

/** The reply bodies that replies carry, for a forwarder to yield. Throws the `BusError` of a `failure`. */
export async function* fromCallReplies(replies: AsyncIterable<CallReply>): AsyncIterable<Body> {
  for await (const reply of replies) {
    if (reply.kind === 'failure') throw reply.error
    if (reply.kind === 'end') return
    yield reply.body
    if (reply.kind === 'full') return
  }
}

/** Any failure as one of the bus. */
export function toBusError(error: unknown): BusError {
  if (error instanceof BusError) return error
  return new BusError('service-failure', messageOf(error), {}, { cause: error })
}

async function endsAtOnce(following: Promise<IteratorResult<Body>>): Promise<boolean> {
  let ended: boolean | undefined
  following.then(
    (item) => {
      ended = item.done === true
    },
    () => {
      ended = false
    },
  )
  for (let turn = 0; turn < SETTLE_TURNS && ended === undefined; turn++) await Promise.resolve()
  return ended === true
}
