import fc from 'fast-check'
import { expect, it } from 'vitest'
import { approve, codeOf, createPair, type Pair, poll, propose, states } from './harness.ts'
import type { Fate } from './testing.ts'

const anyFate: fc.Arbitrary<Fate> = fc.constantFrom('arrives', 'arrives', 'lost', 'reply-lost')
const anyStep = fc.constantFrom(
  'approve',
  'cancel',
  'reject',
  'requestor ends',
  'provider ends',
  'settle',
  'time passes',
)
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

/** Starts a step without waiting for its end, so that steps cross each other. */
function take(pair: Pair, agreementId: string, step: Step): Promise<unknown> {
  const { requestor, provider, r, p, network } = pair
  switch (step) {
    case 'approve':
      return codeOf(approve(pair, agreementId, 1_000))
    case 'cancel':
      return codeOf(requestor.agreements.cancel(r.nodeId, agreementId, null))
    case 'reject':
      return codeOf(provider.agreements.reject(p.nodeId, agreementId, null))
    case 'requestor ends':
      return codeOf(requestor.agreements.terminate(r.nodeId, agreementId, null))
    case 'provider ends':
      return codeOf(provider.agreements.terminate(p.nodeId, agreementId, null))
    case 'settle':
      return network.settle(3)
    default:
      return network.clock.advance(500)
  }
}

/** The kinds of all agreement events of one side, in order; who terminated included. */
async function story({ requestor, provider, r, p }: Pair, side: 'requestor' | 'provider'): Promise<string[]> {
  const [market, node] = side === 'requestor' ? [requestor, r] : [provider, p]
  const events = await market.agreements.events(node.nodeId, { ...poll, afterUs: 0 })
  return events.map((event) => `${event.eventType} ${'terminator' in event ? event.terminator : ''}`)
}

it('whatever is lost and whatever crosses, both parties end in the same state with the same story', async () => {
  const anyRun = fc.record({
    fates: fc.array(anyFate, { minLength: 1, maxLength: 12 }),
    steps: fc.array(anyStep, { minLength: 1, maxLength: 8 }),
  })
  await fc.assert(
    fc.asyncProperty(anyRun, async ({ fates, steps }) => {
      const pair = await createPair({ indexes: 0 })
      const { agreementId } = await propose(pair, 300_000)
      let message = 0
      pair.network.setFate(() => fates[message++] ?? 'arrives')
      const running: Promise<unknown>[] = []
      for (const step of steps) {
        const work = take(pair, agreementId, step)
        if (step === 'settle' || step === 'time passes') await work
        else running.push(work)
      }
      await pair.network.clock.advance(5_000)
      await Promise.all(running)
      pair.network.setFate(() => 'arrives')
      await pair.network.clock.advance(400_000)
      const [ours, theirs] = states(pair, agreementId)
      const stories = [await story(pair, 'requestor'), await story(pair, 'provider')]
      await Promise.all([pair.requestor.stop(), pair.provider.stop()])
      expect(ours).toBe(theirs)
      expect(stories[0]).toEqual(stories[1])
      expect(['Approved', 'Terminated', 'Cancelled', 'Rejected', 'Expired']).toContain(ours)
    }),
    { numRuns: 60, timeout: 10_000 },
  )
}, 60_000)
