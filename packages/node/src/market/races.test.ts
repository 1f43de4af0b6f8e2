import { afterEach, describe, expect, it } from 'vitest'
import { approve, codeOf, createPair, eventsOf, negotiate, type Pair, poll, propose, sign, states } from './harness.ts'
import { type MessageSeen, testDemand } from './testing.ts'

let pairs: Pair[] = []
const open = async () => {
  const pair = await createPair()
  pairs.push(pair)
  return pair
}
afterEach(async () => {
  for (const pair of pairs) await Promise.all([pair.provider.stop(), pair.requestor.stop()])
  pairs = []
})

const named = (name: string) => (message: MessageSeen) => message.address.endsWith(`/${name}`)
/** A door that messages wait before, until it is opened. */
function createDoor() {
  let open = () => {}
  const opened = new Promise<'arrives'>((resolve) => {
    open = () => resolve('arrives')
  })
  return { opened, open: () => open() }
}
const terminators = async ({ requestor, provider, r, p }: Pair) => {
  const of = async (market: typeof requestor, node: typeof r) =>
    (await market.agreements.events(node.nodeId, { ...poll, afterUs: 0 })).flatMap((event) =>
      event.eventType === 'AgreementTerminatedEvent' ? [event.terminator] : [],
    )
  return [await of(requestor, r), await of(provider, p)]
}

describe('termination', () => {
  it('by both at once counts as the requestor’s, on both sides', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    const both = await Promise.all([
      codeOf(pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, { message: 'r' })),
      codeOf(pair.provider.agreements.terminate(pair.p.nodeId, agreementId, { message: 'p' })),
    ])
    expect(both).toEqual(['ok', 'ok'])
    expect(states(pair, agreementId)).toEqual(['Terminated', 'Terminated'])
    expect(await terminators(pair)).toEqual([['Requestor'], ['Requestor']])
  })

  it('by both at once, the requestor’s message late, still ends the same on both sides', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    const door = createDoor()
    const isLate = (message: MessageSeen) => named('AgreementTerminated')(message) && message.from === pair.r.nodeId
    pair.network.setFate((message) => (isLate(message) ? door.opened : 'arrives'))
    const first = codeOf(pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, null))
    await pair.network.settle()
    const second = codeOf(pair.provider.agreements.terminate(pair.p.nodeId, agreementId, null))
    await pair.network.settle()
    door.open()
    expect([await first, await second]).toEqual(['ok', 'ok'])
    const [theirs, ours] = await terminators(pair)
    expect(theirs).toEqual(ours)
    expect(theirs).toHaveLength(1)
  })

  it('changes nothing when the peer cannot be reached, and can be repeated', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    pair.network.setFate((message) => (named('AgreementTerminated')(message) ? 'lost' : 'arrives'))
    const terminate = () => codeOf(pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, null))
    expect(await terminate()).toBe('peer-unreachable')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
    pair.network.setFate(() => 'arrives')
    expect(await terminate()).toBe('ok')
    expect(await terminate()).toBe('wrong-state')
    expect(states(pair, agreementId)).toEqual(['Terminated', 'Terminated'])
  })

  it('whose answer got lost is found out from the peer', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    pair.network.setFate((message) => (named('AgreementTerminated')(message) ? 'reply-lost' : 'arrives'))
    const outcome = await codeOf(pair.provider.agreements.terminate(pair.p.nodeId, agreementId, { message: 'over' }))
    expect(outcome).toBe('peer-unreachable')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Terminated', 'Terminated'])
    expect(await terminators(pair)).toEqual([['Provider'], ['Provider']])
  })
})

describe('approval', () => {
  it('is lost when the requestor cancels first', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    await pair.requestor.agreements.cancel(pair.r.nodeId, agreementId, { message: 'changed my mind' })
    expect(await codeOf(approve(pair, agreementId))).toBe('wrong-state')
    expect(states(pair, agreementId)).toEqual(['Cancelled', 'Cancelled'])
  })

  it('is lost when a cancellation overtakes the commit', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const door = createDoor()
    pair.network.setFate((message) => (named('AgreementCommitted')(message) ? door.opened : 'arrives'))
    const approving = codeOf(approve(pair, agreementId))
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Pending', 'Pending'])
    expect(await codeOf(pair.requestor.agreements.cancel(pair.r.nodeId, agreementId, null))).toBe('ok')
    door.open()
    expect(await approving).toBe('wrong-state')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Cancelled', 'Cancelled'])
  })

  it('stands when the commit overtakes a cancellation', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const door = createDoor()
    pair.network.setFate((message) => (named('AgreementCancelled')(message) ? door.opened : 'arrives'))
    const cancelling = codeOf(pair.requestor.agreements.cancel(pair.r.nodeId, agreementId, null))
    await pair.network.settle()
    expect(await codeOf(approve(pair, agreementId))).toBe('ok')
    await pair.network.settle()
    door.open()
    expect(await cancelling).toBe('wrong-state')
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('goes back to Pending on both sides when no commit comes in time, and can be repeated', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    pair.network.setFate((message) => (named('AgreementCommitted')(message) ? 'lost' : 'arrives'))
    const approving = codeOf(approve(pair, agreementId, 2_000))
    await pair.network.clock.advance(2_000)
    expect(await approving).toBe('timeout')
    pair.network.setFate(() => 'arrives')
    await pair.network.clock.advance(60_000)
    expect(states(pair, agreementId)).toEqual(['Pending', 'Pending'])
    expect(await codeOf(approve(pair, agreementId))).toBe('ok')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('stands when the answer to the commit got lost: it is sent again', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    let losses = 2
    pair.network.setFate((message) => (named('AgreementCommitted')(message) && losses-- > 0 ? 'reply-lost' : 'arrives'))
    expect(await codeOf(approve(pair, agreementId))).toBe('ok')
    expect(states(pair, agreementId)).toEqual(['Pending', 'Approved'])
    await pair.network.clock.advance(5_000)
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('that the provider ends before the requestor knows of it is still approved, then terminated', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    let losses = 1
    pair.network.setFate((message) => (named('AgreementCommitted')(message) && losses-- > 0 ? 'reply-lost' : 'arrives'))
    await approve(pair, agreementId)
    await pair.provider.agreements.terminate(pair.p.nodeId, agreementId, { message: 'sorry' })
    const events = await pair.requestor.agreements.events(pair.r.nodeId, { ...poll, afterUs: 0 })
    expect(events.map((event) => event.eventType)).toEqual(['AgreementApprovedEvent', 'AgreementTerminatedEvent'])
    expect(states(pair, agreementId)).toEqual(['Terminated', 'Terminated'])
  })

  it('overtakes the answer to the confirmation', async () => {
    const pair = await open()
    pair.network.setFate((message) => (named('AgreementReceived')(message) ? 'reply-lost' : 'arrives'))
    const offered = pair.provider
    offered.onAgreement(() => {})
    const facts = await propose(pair).then(
      () => 'ok',
      (error: { code: string }) => error.code,
    )
    expect(facts).toBe('peer-unreachable')
    const [entry] = pair.requestor.agreements.list(pair.r.nodeId, {})
    const agreementId = entry?.id ?? ''
    expect(states(pair, agreementId)).toEqual(['Proposal', 'Pending'])
    expect(await codeOf(approve(pair, agreementId))).toBe('peer-refused')
    expect(states(pair, agreementId)).toEqual(['Proposal', 'Pending'])
    pair.network.setFate(() => 'arrives')
    expect(await codeOf(pair.requestor.agreements.confirm(pair.r.nodeId, agreementId, null))).toBe('ok')
    expect(await codeOf(approve(pair, agreementId))).toBe('ok')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('crosses a rejection only one way: a rejected agreement is never approved', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    pair.network.setFate((message) => (named('AgreementRejected')(message) ? 'lost' : 'arrives'))
    await pair.provider.agreements.reject(pair.p.nodeId, agreementId, { message: 'busy' })
    expect(await codeOf(approve(pair, agreementId))).toBe('wrong-state')
    expect(states(pair, agreementId)).toEqual(['Pending', 'Rejected'])
    pair.network.setFate(() => 'arrives')
    await pair.network.clock.advance(5_000)
    expect(states(pair, agreementId)).toEqual(['Rejected', 'Rejected'])
  })
})

describe('restart', () => {
  /** Stops one side's market and starts it again on the same database. */
  const restart = async (pair: Pair, side: 'provider' | 'requestor') => {
    await pair[side].stop()
    const fresh = pair.network.createMarketOn(side === 'provider' ? pair.p : pair.r)
    Object.assign(pair, { [side]: fresh })
    await fresh.start()
    await pair.network.settle()
  }

  it('keeps subscriptions, queued events and agreements', async () => {
    const pair = await open()
    const { agreementId, demandId, offerId } = await sign(pair)
    await restart(pair, 'provider')
    await restart(pair, 'requestor')
    expect(pair.provider.negotiations.offers(pair.p.nodeId).map((offer) => offer.offerId)).toEqual([offerId])
    expect(pair.requestor.negotiations.demands(pair.r.nodeId).map((demand) => demand.demandId)).toEqual([demandId])
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
    expect(await pair.requestor.negotiations.demandEvents(pair.r.nodeId, demandId, poll)).toEqual([])
    const events = await pair.provider.negotiations.offerEvents(pair.p.nodeId, offerId, poll)
    expect(events.map((event) => event.eventType)).toEqual(['AgreementEvent'])
  })

  it('of a provider in the middle of an approval finishes it when the requestor has accepted', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    pair.network.setFate((message) => (named('AgreementCommitted')(message) ? 'lost' : 'arrives'))
    const approving = codeOf(approve(pair, agreementId))
    await pair.network.settle()
    await restart(pair, 'provider')
    expect(await approving).toBe('stopped')
    pair.network.setFate(() => 'arrives')
    await pair.network.clock.advance(60_000)
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('of a provider whose approval never arrived goes back to Pending', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const door = createDoor()
    pair.network.setFate((message) =>
      named('AgreementApproved')(message) ? door.opened.then(() => 'lost' as const) : 'arrives',
    )
    const approving = codeOf(approve(pair, agreementId))
    await pair.network.settle()
    pair.network.setFate(() => 'arrives')
    await restart(pair, 'provider')
    door.open()
    await approving
    expect(states(pair, agreementId)).toEqual(['Pending', 'Pending'])
    expect(await codeOf(approve(pair, agreementId))).toBe('ok')
  })

  it('of a requestor in the middle of an approval commits again', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    pair.network.setFate((message) => (named('AgreementCommitted')(message) ? 'lost' : 'arrives'))
    const approving = codeOf(approve(pair, agreementId))
    await pair.network.settle()
    pair.network.setFate(() => 'arrives')
    await restart(pair, 'requestor')
    expect(await approving).toBe('ok')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
  })

  it('of a requestor that crashed while it sent a proposal sends it again', async () => {
    const pair = await open()
    const { draft, demandId, offerId } = await negotiate(pair)
    const door = createDoor()
    pair.network.setFate((message) =>
      named('ProposalReceived')(message) ? door.opened.then(() => 'lost' as const) : 'arrives',
    )
    const { negotiations } = pair.requestor
    const counter = codeOf(negotiations.counter('demand', pair.r.nodeId, demandId, draft.proposalId, testDemand))
    await pair.network.settle()
    await pair.requestor.stop()
    expect(await counter).toBe('peer-unreachable')
    // A crash would not have let the agent know; what is on disk is what was written before the message was sent.
    pair.r.db.run('UPDATE market_proposal SET is_countered = 1 WHERE id = ?', draft.proposalId)
    pair.network.setFate(() => 'arrives')
    await restart(pair, 'requestor')
    expect(await eventsOf(pair.provider, pair.p, 'offer', offerId)).toMatchObject([{ eventType: 'ProposalEvent' }])
    await restart(pair, 'requestor')
    expect(await eventsOf(pair.provider, pair.p, 'offer', offerId)).toEqual([])
  })

  it('after a cancellation whose answer got lost follows the provider', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    pair.network.setFate((message) => {
      if (named('AgreementCancelled')(message)) return 'reply-lost'
      return named('GetState')(message) ? 'lost' : 'arrives'
    })
    expect(await codeOf(pair.requestor.agreements.cancel(pair.r.nodeId, agreementId, null))).toBe('peer-unreachable')
    expect(states(pair, agreementId)).toEqual(['Pending', 'Cancelled'])
    pair.network.setFate(() => 'arrives')
    await restart(pair, 'requestor')
    expect(states(pair, agreementId)).toEqual(['Cancelled', 'Cancelled'])
  })

  it('removes rows when their time has come', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    await pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, null)
    const rows = () =>
      ['market_subscription', 'market_proposal', 'market_event', 'market_agreement', 'market_agreement_event'].map(
        (table) => Number(pair.r.db.get(`SELECT count(*) AS n FROM ${table}`)?.['n']),
      )
    for (const { gone } of pair.indexes) await gone()
    await pair.provider.stop()
    const after = async (ms: number) => {
      await pair.requestor.stop()
      await pair.network.clock.advance(ms)
      await restart(pair, 'requestor')
      return rows()
    }
    expect(await after(24 * 3_600_000)).toEqual([1, 4, 1, 1, 2])
    expect(await after(3_600_001)).toEqual([0, 0, 0, 1, 2])
    expect(await after(90 * 24 * 3_600_000)).toEqual([0, 0, 0, 0, 0])
  })
})
