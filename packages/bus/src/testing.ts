/** The compliance suite of `Bus`: what callers and handlers may rely on, however the bus carries messages. */
import { nodeId } from '@emet/core'
import type { VirtualClock } from '@emet/core/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BusError, ReplyError } from './errors.ts'
import type { Bus, BusCall, Caller } from './types.ts'

/** Two views of one bus: `callee` binds, `caller` calls. They may be the same. */
export type BusPair = {
  readonly caller: Bus
  readonly callee: Bus
  readonly clock: VirtualClock
  /** Resolves when what `callee` has bound is known to `caller`. */
  settle(): Promise<void>
  dispose(): Promise<void>
}

/** The code of the `BusError` that `work` fails with. */
export async function busErrorCode(work: Promise<unknown>): Promise<string> {
  const error = await failureOf(work)
  if (error instanceof BusError) return error.code
  throw new Error('not a BusError', { cause: error })
}

/** What `work` fails with; undefined when it does not. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
}

/** Lets messages travel: turns of the event loop, no time. */
export async function letTravel(until: () => boolean, what = 'the message'): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) {
    if (until()) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error(`${what} has not arrived`)
}

/** Runs the suite against one implementation. */
export function describeBus(name: string, create: () => Promise<BusPair>): void {
  describe(`${name} as a Bus`, () => {
    let pair: BusPair
    beforeEach(async () => {
      pair = await create()
    })
    afterEach(() => pair.dispose())

    const serve = async (address: string, handler: Parameters<Bus['bind']>[1]) => {
      const unbind = pair.callee.bind(address, handler)
      await pair.settle()
      return unbind
    }

    it('carries values both ways', async () => {
      const value = { text: 'ä', list: [1, 2.5], bytes: new Uint8Array([1, 2]), nothing: null }
      await serve('/public/echo/Echo', async (call) => call.body.value())
      expect(await pair.caller.call('/public/echo/Echo', value)).toEqual(value)
    })
    it('answers nothing with null', async () => {
      await serve('/public/x/Y', async () => undefined)
      expect(await pair.caller.call('/public/x/Y', null)).toBeNull()
    })
    it('brings the data of ReplyError to the caller', async () => {
      await serve('/public/x/Y', async () => {
        throw new ReplyError({ notFound: 'it' })
      })
      const error = await failureOf(pair.caller.call('/public/x/Y', null))
      expect(error).toBeInstanceOf(ReplyError)
      expect(error).toMatchObject({ data: { notFound: 'it' } })
    })
    it('hides other failures behind service-failure', async () => {
      await serve('/public/x/Y', async () => {
        throw new TypeError('a bug')
      })
      expect(await busErrorCode(pair.caller.call('/public/x/Y', null))).toBe('service-failure')
    })
    it('has no endpoint where nobody is bound, in the words that peers match on', async () => {
      const error = await failureOf(pair.caller.call('/public/no/One', null))
      expect(error).toMatchObject({
        code: 'no-endpoint',
        message: expect.stringMatching(/endpoint address not found$/),
      })
    })
    it('forgets what is unbound', async () => {
      const unbind = await serve('/public/x/Y', async () => 1)
      await pair.caller.call('/public/x/Y', null)
      unbind()
      unbind()
      await pair.settle()
      expect(await busErrorCode(pair.caller.call('/public/x/Y', null))).toBe('no-endpoint')
      await serve('/public/x/Y', async () => 2)
      expect(await pair.caller.call('/public/x/Y', null)).toBe(2)
    })
    it('refuses a second handler of an address', async () => {
      await serve('/public/x/Y', async () => 1)
      expect(() => pair.callee.bind('/public/x/Y', async () => 2)).toThrow(
        expect.objectContaining({ code: 'address-taken' }),
      )
    })
    it('routes to the longest prefix of whole components', async () => {
      const { okBody } = await import('./result.ts')
      const answer = (value: string) =>
        async function* () {
          yield okBody(value)
        }
      pair.callee.route('/public/a', answer('a'))
      pair.callee.route('/public/a/b', answer('b'))
      await serve('/public/a/b/C', async () => 'c')
      expect(await pair.caller.call('/public/a/x/y', null)).toBe('a')
      expect(await pair.caller.call('/public/a/bc', null)).toBe('a')
      expect(await pair.caller.call('/public/a/b/D', null)).toBe('b')
      expect(await pair.caller.call('/public/a/b/C', null)).toBe('c')
    })
    it('streams in order to the end', async () => {
      await serve('/public/x/Count', async function* () {
        for (let index = 0; index < 300; index++) yield index
      })
      const seen: unknown[] = []
      for await (const item of pair.caller.stream('/public/x/Count', null)) seen.push(item)
      expect(seen).toEqual(Array.from({ length: 300 }, (_, index) => index))
    })
    it.each([0, 1, 2])('streams %i items', async (count) => {
      await serve('/public/x/Count', async function* () {
        for (let index = 0; index < count; index++) yield index
      })
      const seen: unknown[] = []
      for await (const item of pair.caller.stream('/public/x/Count', null)) seen.push(item)
      expect(seen).toHaveLength(count)
    })
    it('hands on an item before the next one exists', async () => {
      await serve('/public/x/Slow', async function* (call) {
        yield 'first'
        await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
      })
      for await (const item of pair.caller.stream('/public/x/Slow', null)) {
        expect(item).toBe('first')
        break
      }
    })
    it('fails a stream in the middle', async () => {
      await serve('/public/x/Y', async function* () {
        yield 1
        throw new ReplyError('enough')
      })
      const seen: unknown[] = []
      const reading = (async () => {
        for await (const item of pair.caller.stream('/public/x/Y', null)) seen.push(item)
      })()
      await expect(reading).rejects.toMatchObject({ data: 'enough' })
      expect(seen).toEqual([1])
    })
    it('lets a slow reader hold back the stream', async () => {
      let made = 0
      await serve('/public/x/Endless', async function* () {
        for (;;) yield made++
      })
      const reader = pair.caller.stream('/public/x/Endless', null)[Symbol.asyncIterator]()
      await reader.next()
      for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(made).toBeLessThan(200)
      for (let index = 1; index < 500; index++) expect((await reader.next()).value).toBe(index)
      await reader.return?.()
    })
    it('tells the handler when the reader stops', async () => {
      let signal: AbortSignal | undefined
      await serve('/public/x/Y', async function* (call) {
        signal = call.signal
        for (let index = 0; ; index++) yield index
      })
      for await (const item of pair.caller.stream('/public/x/Y', null)) if (item === 3) break
      await letTravel(() => signal?.aborted === true, 'the cancellation')
    })
    it('gives up at the deadline and tells the handler', async () => {
      let given: BusCall | undefined
      await serve('/public/x/Never', (call) => {
        given = call
        return new Promise(() => {})
      })
      const waiting = busErrorCode(pair.caller.call('/public/x/Never', null, { timeoutMs: 1_000 }))
      await letTravel(() => given !== undefined)
      await pair.clock.advance(1_000)
      expect(await waiting).toBe('timeout')
      await letTravel(() => given?.signal.aborted === true, 'the cancellation')
    })
    it("gives up with the caller's reason", async () => {
      let given: BusCall | undefined
      await serve('/public/x/Never', (call) => {
        given = call
        return new Promise(() => {})
      })
      const abort = new AbortController()
      const waiting = pair.caller.call('/public/x/Never', null, { signal: abort.signal })
      await letTravel(() => given !== undefined)
      abort.abort(new Error('changed my mind'))
      await expect(waiting).rejects.toThrow('changed my mind')
      await letTravel(() => given?.signal.aborted === true, 'the cancellation')
    })
    it('does not call when the caller has given up before', async () => {
      let calls = 0
      await serve('/public/x/Y', async () => calls++)
      await expect(
        pair.caller.call('/public/x/Y', null, { signal: AbortSignal.abort(new Error('no')) }),
      ).rejects.toThrow('no')
      expect(calls).toBe(0)
    })
    it('posts without waiting', async () => {
      const seen: unknown[] = []
      await serve('/public/x/Post', async (call) => {
        seen.push(call.body.value(), call.mode)
      })
      expect(pair.caller.post('/public/x/Post', 'hi')).toBeUndefined()
      pair.caller.post('/public/nobody/Post', 'hi')
      await letTravel(() => seen.length > 0)
      expect(seen).toEqual(['hi', 'none'])
    })
    it('runs calls side by side', async () => {
      const release: (() => void)[] = []
      await serve('/public/x/Y', async (call) => {
        await new Promise<void>((resolve) => release.push(resolve))
        return call.body.value()
      })
      const calls = Array.from({ length: 50 }, (_, index) => pair.caller.call('/public/x/Y', index))
      await letTravel(() => release.length === 50)
      for (const go of release.reverse()) go()
      expect(await Promise.all(calls)).toEqual(Array.from({ length: 50 }, (_, index) => index))
    })
    it('carries large bodies', async () => {
      const bytes = new Uint8Array(3_000_000).fill(7)
      await serve('/public/x/Y', async (call) => call.body.value())
      expect(Buffer.compare((await pair.caller.call('/public/x/Y', bytes)) as Uint8Array, bytes)).toBe(0)
    })
    it('casts to every subscriber, until they unsubscribe', async () => {
      const seen: unknown[] = []
      const end = pair.callee.subscribe('news', (body) => seen.push(body.value()))
      pair.callee.subscribe('news', (body) => seen.push(body.value()))
      await pair.settle()
      pair.caller.publish('news', { text: 'hello' })
      await letTravel(() => seen.length === 2)
      end()
      await pair.settle()
      pair.caller.publish('news', 2)
      await letTravel(() => seen.length === 3)
      expect(seen).toEqual([{ text: 'hello' }, { text: 'hello' }, 2])
    })
    it('ends calls under way when it closes', async () => {
      let isCalled = false
      await serve('/public/x/Never', () => {
        isCalled = true
        return new Promise(() => {})
      })
      const waiting = busErrorCode(pair.caller.call('/public/x/Never', null))
      await letTravel(() => isCalled)
      pair.caller.close()
      expect(await waiting).toBe('closed')
      expect(await busErrorCode(pair.caller.call('/public/x/Never', null))).toBe('closed')
    })
    it.each(['', 'public/x', `/${'x'.repeat(2_000)}`])('refuses the address %j', async (address) => {
      expect(await busErrorCode(pair.caller.call(address, null))).toBe('bad-request')
    })
    it('leaves no timer behind', async () => {
      await serve('/public/x/Y', async () => 1)
      const before = pair.clock.pendingTimers
      await pair.caller.call('/public/x/Y', null)
      for await (const _ of pair.caller.stream('/public/x/Y', null)) {
        // One item.
      }
      expect(pair.clock.pendingTimers).toBe(before)
    })
  })
}

/** A peer for tests that need one. */
export const somePeer: Caller = { kind: 'peer', nodeId: nodeId('0x3a879834a9089353bdc61fa92f8b3ab4e00f43c4') }
