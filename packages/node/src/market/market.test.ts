import { afterEach, describe, expect, it } from 'vitest'
import {
  approve,
  codeOf,
  createPair,
  eventsOf,
  later,
  negotiate,
  type Pair,
  poll,
  proposalOf,
  propose,
  sign,
  states,
  thrown,
} from './harness.ts'
import { type TestNode, testDemand, testOffer } from './testing.ts'
import type { Market } from './types.ts'

let pairs: Pair[] = []
const open = async (options?: { indexes?: number }) => {
  const pair = await createPair(options)
  pairs.push(pair)
  return pair
}
afterEach(async () => {
  for (const pair of pairs) await Promise.all([pair.provider.stop(), pair.requestor.stop()])
  pairs = []
})

describe('negotiation', () => {
  it('brings a demand to an approved agreement on both sides, without time passing', async () => {
    const pair = await open()
    const startedMs = pair.network.clock.nowMs()
    const { agreementId, demandId, offerId, initial, theirs, draft } = await sign(pair)
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
    expect(pair.network.clock.nowMs()).toBe(startedMs)
    expect(initial).toMatchObject({ state: 'Initial', issuerId: pair.p.nodeId })
    expect(initial.proposalId).toMatch(/^R-/)
    expect(initial.prevProposalId).toBeUndefined()
    expect(theirs).toMatchObject({ state: 'Draft', issuerId: pair.r.nodeId })
    expect(theirs.proposalId).toMatch(/^P-/)
    expect(draft).toMatchObject({ state: 'Draft', issuerId: pair.p.nodeId })
    const onBoth = [
      pair.requestor.agreements.document(pair.r.nodeId, agreementId),
      pair.provider.agreements.document(pair.p.nodeId, agreementId),
    ]
    for (const document of onBoth) {
      expect(document).toMatchObject({ agreementId, demand: { demandId }, offer: { offerId } })
      expect(document.offer.properties).toMatchObject({ 'golem.inf.mem.gib': 4 })
    }
    expect(onBoth[0]?.approvedDate).toBe(onBoth[1]?.approvedDate)
    expect(onBoth.map((document) => document.appSessionId)).toEqual(['session-r', 'session-p'])
  })

  it('lets each proposal be countered once, and never by its issuer', async () => {
    const pair = await open()
    const { demandId, initial, draft } = await negotiate(pair)
    const counter = (id: string) =>
      pair.requestor.negotiations.counter('demand', pair.r.nodeId, demandId, id, testDemand)
    expect(await codeOf(counter(initial.proposalId))).toBe('already-countered')
    const mine = await counter(draft.proposalId)
    expect(await codeOf(counter(mine))).toBe('own-proposal')
  })

  it('refuses a counter-proposal that does not match, and changes nothing', async () => {
    const pair = await open()
    const { demandId, draft } = await negotiate(pair)
    const bad = { ...testDemand, constraints: '(golem.runtime.name=vm)' }
    const counter = (content: typeof bad) =>
      pair.requestor.negotiations.counter('demand', pair.r.nodeId, demandId, draft.proposalId, content)
    expect(await codeOf(counter(bad))).toBe('not-matching')
    expect(await codeOf(counter({ ...testDemand, constraints: '(((' }))).toBe('bad-content')
    expect(await codeOf(counter(testDemand))).toBe('ok')
  })

  it('tells the other side of a rejection with a reason, also where none was given', async () => {
    const pair = await open()
    const { demandId, offerId, draft } = await negotiate(pair)
    await pair.requestor.negotiations.reject('demand', pair.r.nodeId, demandId, draft.proposalId, null)
    const [event] = await eventsOf(pair.provider, pair.p, 'offer', offerId)
    expect(event).toMatchObject({ eventType: 'ProposalRejectedEvent', reason: { message: expect.any(String) } })
  })

  it('takes a rejection back when the rejected proposal is countered', async () => {
    const pair = await open()
    const { demandId, draft } = await negotiate(pair)
    await pair.requestor.negotiations.reject('demand', pair.r.nodeId, demandId, draft.proposalId, { message: 'no' })
    const proposal = () => pair.requestor.negotiations.proposal('demand', pair.r.nodeId, demandId, draft.proposalId)
    expect(proposal().state).toBe('Rejected')
    await pair.requestor.negotiations.counter('demand', pair.r.nodeId, demandId, draft.proposalId, testDemand)
    expect(proposal().state).toBe('Draft')
  })

  it('gives a counter-proposal back to the agent when the peer cannot be reached, and sends the same one again', async () => {
    const pair = await open()
    const { demandId, offerId, draft } = await negotiate(pair)
    const counter = () =>
      pair.requestor.negotiations.counter('demand', pair.r.nodeId, demandId, draft.proposalId, testDemand)
    pair.network.setFate(({ address }) => (address.endsWith('ProposalReceived') ? 'reply-lost' : 'arrives'))
    expect(await codeOf(counter())).toBe('peer-unreachable')
    pair.network.setFate(() => 'arrives')
    const id = await counter()
    const events = await eventsOf(pair.provider, pair.p, 'offer', offerId)
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ proposal: { proposalId: id.replace('R-', 'P-') } })
  })

  it('needs the provider to have answered before an agreement', async () => {
    const pair = await open()
    await pair.provider.negotiations.subscribe('offer', pair.p.nodeId, testOffer)
    await pair.network.settle()
    const demandId = await pair.requestor.negotiations.subscribe('demand', pair.r.nodeId, testDemand)
    await pair.network.settle()
    const initial = await proposalOf(pair.requestor, pair.r, 'demand', demandId)
    const create = (id: string) => thrown(() => pair.requestor.agreements.create(pair.r.nodeId, id, later(pair)))
    expect(await create(initial.proposalId)).toBe('no-negotiation')
    const mine = await pair.requestor.negotiations.counter(
      'demand',
      pair.r.nodeId,
      demandId,
      initial.proposalId,
      testDemand,
    )
    expect(await create(mine)).toBe('own-proposal')
    expect(await create('P-1')).toBe('bad-id')
    expect(await create(`R-${'0'.repeat(64)}`)).toBe('proposal-not-found')
  })
})

describe('messages', () => {
  it('are the original’s: names, addresses, fields and timestamps', async () => {
    const pair = await open()
    const { offerId, demandId, agreementId } = await sign(pair)
    await pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, {
      message: 'done',
      'golem.requestor.code': 'Ok',
    })
    const base = '/market/protocol/mk1/negotiation/'
    const sent = pair.network.messages.filter(({ address }) => address.startsWith(base))
    expect(sent.map(({ address }) => address.slice(base.length))).toEqual([
      'provider/proposal/InitialProposalReceived',
      'requestor/proposal/ProposalReceived',
      'provider/agreement/AgreementReceived',
      'requestor/agreement/AgreementApproved',
      'provider/agreement/AgreementCommitted',
      'provider/agreement/AgreementTerminated',
    ])
    const naive = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
    const content = {
      proposal_id: expect.stringMatching(/^[RP]-[0-9a-f]{64}$/),
      properties: expect.any(String),
      constraints: expect.any(String),
      creation_ts: naive,
      expiration_ts: naive,
    }
    const [initial, counter, proposed, approved, committed, terminated] = sent.map(({ value }) => value)
    const { proposal_id: first } = (initial as { proposal: { proposal_id: string } }).proposal
    const { proposal_id: second } = (counter as { proposal: { proposal_id: string } }).proposal
    expect(initial).toEqual({ proposal: content, offerId, demandId })
    expect(first).toMatch(/^R-/)
    expect(counter).toEqual({ prevProposalId: first.replace('R-', 'P-'), proposal: content })
    expect(proposed).toEqual({
      proposalId: second.replace('P-', 'R-'),
      agreementId,
      creationTs: naive,
      validTo: naive,
      signature: 'NoSignature',
    })
    expect(approved).toEqual({ agreementId, signature: 'NoSignature', approvedTs: naive })
    expect(committed).toEqual({ agreementId, signature: 'NoSignature' })
    const reason = { message: 'done', 'golem.requestor.code': 'Ok' }
    expect(terminated).toEqual({ agreementId, reason, signature: 'NotSigned', terminationTs: naive })
  })
})

describe('polls', () => {
  it('wake at once for an event, and with not-found when the subscription ends', async () => {
    const pair = await open()
    const { r, requestor, provider, p, network } = pair
    const demandId = await requestor.negotiations.subscribe('demand', r.nodeId, testDemand)
    const waiting = requestor.negotiations.demandEvents(r.nodeId, demandId, { timeoutMs: 5_000, maxEvents: 10 })
    await network.settle()
    await provider.negotiations.subscribe('offer', p.nodeId, testOffer)
    await network.settle()
    expect(await waiting).toHaveLength(1)
    const again = codeOf(requestor.negotiations.demandEvents(r.nodeId, demandId, { timeoutMs: 5_000, maxEvents: 10 }))
    await network.settle()
    requestor.negotiations.unsubscribe('demand', r.nodeId, demandId)
    expect(await again).toBe('subscription-ended')
  })

  it('end empty after their time, and leave nothing behind when aborted', async () => {
    const pair = await open()
    const demandId = await pair.requestor.negotiations.subscribe('demand', pair.r.nodeId, testDemand)
    await pair.network.settle()
    const timersBefore = pair.network.clock.pendingTimers
    const empty = pair.requestor.negotiations.demandEvents(pair.r.nodeId, demandId, { timeoutMs: 5_000, maxEvents: 10 })
    await pair.network.clock.advance(5_000)
    expect(await empty).toEqual([])
    const abort = new AbortController()
    const options = { timeoutMs: 5_000, maxEvents: 10, signal: abort.signal }
    const aborted = codeOf(pair.requestor.negotiations.demandEvents(pair.r.nodeId, demandId, options))
    abort.abort(new Error('gone'))
    expect(await aborted).toBe('gone')
    expect(pair.network.clock.pendingTimers).toBe(timersBefore)
  })

  it('are for the owner only, and end when the subscription expires', async () => {
    const pair = await open()
    const id = await pair.requestor.negotiations.subscribe('demand', pair.r.nodeId, testDemand)
    expect(await codeOf(eventsOf(pair.requestor, pair.p, 'demand', id))).toBe('subscription-not-found')
    expect(await codeOf(eventsOf(pair.requestor, pair.r, 'offer', id))).toBe('subscription-not-found')
    await pair.network.clock.advance(3_600_001)
    expect(await codeOf(eventsOf(pair.requestor, pair.r, 'demand', id))).toBe('subscription-expired')
    expect(pair.requestor.negotiations.demands(pair.r.nodeId)).toEqual([])
  })
})

describe('agreements', () => {
  it('have one per proposal', async () => {
    const pair = await open()
    const { draft } = await propose(pair)
    const create = () => pair.requestor.agreements.create(pair.r.nodeId, draft.proposalId, later(pair))
    expect(await thrown(create)).toBe('agreement-exists')
  })

  it('tell both sides in the feed, with increasing cursors and by session', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    await pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, { message: 'done' })
    const feed = (market: Market, node: TestNode, afterUs: number, appSessionId?: string) =>
      market.agreements.events(node.nodeId, { ...poll, afterUs, appSessionId })
    const events = await feed(pair.provider, pair.p, 0)
    expect(events.map((event) => event.eventType)).toEqual(['AgreementApprovedEvent', 'AgreementTerminatedEvent'])
    expect(events[1]).toMatchObject({ terminator: 'Requestor', reason: { message: 'done' } })
    const [first, second] = events.map((event) => event.eventDate)
    expect(second).toBeGreaterThan(first ?? 0)
    expect(await feed(pair.provider, pair.p, first ?? 0)).toHaveLength(1)
    expect(await feed(pair.provider, pair.p, second ?? 0)).toHaveLength(0)
    expect(await feed(pair.requestor, pair.r, 0, 'session-r')).toHaveLength(2)
    expect(await feed(pair.requestor, pair.r, 0, 'another')).toHaveLength(0)
    expect(await feed(pair.requestor, pair.p, 0)).toHaveLength(0)
  })

  it('give the pair a fresh proposal after the termination', async () => {
    const pair = await open()
    const { agreementId, demandId, initial } = await sign(pair)
    await pair.provider.agreements.terminate(pair.p.nodeId, agreementId, null)
    const fresh = await proposalOf(pair.requestor, pair.r, 'demand', demandId)
    expect(fresh.state).toBe('Initial')
    expect(fresh.proposalId).not.toBe(initial.proposalId)
    expect(pair.requestor.agreements.termination(pair.r.nodeId, agreementId)).toMatchObject({ terminator: 'Provider' })
  })

  const wait = ({ requestor, r }: Pair, id: string, timeoutMs = 5_000) =>
    requestor.agreements.wait(r.nodeId, id, { timeoutMs })

  it('wake who waits for the approval', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const timedOut = codeOf(wait(pair, agreementId, 1_000))
    await pair.network.clock.advance(1_000)
    expect(await timedOut).toBe('timeout')
    const waiting = wait(pair, agreementId)
    await pair.network.settle()
    await approve(pair, agreementId)
    await waiting
  })

  it('wake who waits when they are rejected', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const refused = codeOf(wait(pair, agreementId))
    await pair.network.settle()
    await pair.provider.agreements.reject(pair.p.nodeId, agreementId, { message: 'busy' })
    expect(await refused).toBe('wrong-state')
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Rejected', 'Rejected'])
    const events = await pair.requestor.agreements.events(pair.r.nodeId, { ...poll, afterUs: 0 })
    expect(events).toMatchObject([{ eventType: 'AgreementRejectedEvent', reason: { message: 'busy' } }])
  })

  it('expire at validTo, and cannot be approved afterwards', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair, 2_000)
    const expired = codeOf(wait(pair, agreementId))
    await pair.network.clock.advance(3_000)
    expect(await expired).toBe('agreement-expired')
    expect(await codeOf(approve(pair, agreementId))).toBe('agreement-expired')
    expect(states(pair, agreementId)).toEqual(['Expired', 'Expired'])
  })

  it('are found by their parties only', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    expect(pair.requestor.agreements.get(agreementId, pair.p.nodeId)).toBeUndefined()
    expect(await thrown(() => pair.requestor.agreements.document(pair.p.nodeId, agreementId))).toBe(
      'agreement-not-found',
    )
    expect(await thrown(() => pair.requestor.agreements.document(pair.r.nodeId, 'nonsense'))).toBe('bad-id')
  })

  it('are listed by state, time and session', async () => {
    const pair = await open()
    const { agreementId } = await sign(pair)
    const list = (filter: Parameters<Market['agreements']['list']>[1]) =>
      pair.requestor.agreements.list(pair.r.nodeId, filter)
    const [entry] = list({})
    expect(entry).toMatchObject({ id: agreementId, role: 'Requestor', approvedDate: expect.any(Number) })
    const at = entry?.timestamp ?? 0
    expect(list({ state: 'Approved' })).toHaveLength(1)
    expect(list({ state: 'Pending' })).toHaveLength(0)
    expect(list({ beforeUs: at })).toHaveLength(0)
    expect(list({ afterUs: at })).toHaveLength(0)
    expect(list({ afterUs: at - 1, beforeUs: at + 1, appSessionId: 'session-r' })).toHaveLength(1)
    expect(list({ appSessionId: 'other' })).toHaveLength(0)
  })

  it('reach listeners after they are stored', async () => {
    const pair = await open()
    const seen: string[] = []
    pair.provider.onAgreement(({ kind, agreement }) => {
      const stored = pair.provider.agreements.get(agreement.agreementId, pair.p.nodeId)
      seen.push(`${kind} ${agreement.role} ${stored?.state}`)
    })
    const { agreementId } = await sign(pair)
    await pair.requestor.agreements.terminate(pair.r.nodeId, agreementId, null)
    expect(seen).toEqual(['approved provider Approved', 'terminated provider Terminated'])
  })
})

describe('explain', () => {
  it('counts where the counterparts went, on both sides', async () => {
    const pair = await open()
    await pair.provider.negotiations.subscribe('offer', pair.p.nodeId, {
      ...testOffer,
      properties: { 'golem.runtime.name': 'vm' },
    })
    const { demandId, offerId } = await sign(pair)
    const funnel = pair.requestor.explain(pair.r.nodeId, demandId)
    expect(funnel).toMatchObject({
      matched: 1,
      countered: 1,
      counteredByPeer: 1,
      agreementsProposed: 1,
      agreementsSigned: 1,
    })
    expect(Object.keys(funnel?.dropped ?? {}).join()).toContain('golem.runtime.name=wasm')
    expect(pair.provider.explain(pair.p.nodeId, offerId)).toMatchObject({ seen: 1, matched: 1, agreementsSigned: 1 })
    expect(pair.provider.explain(pair.r.nodeId, offerId)).toBeUndefined()
  })
})
