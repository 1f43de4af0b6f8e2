import { agreementIdOf, formatNaiveInstant, type SubscriptionId } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { approve, codeOf, createPair, eventsOf, negotiate, type Pair, poll, propose, sign, states } from './harness.ts'
import { OPEN_PROPOSALS_PER_PEER_MAX, PROPERTIES_BYTES_MAX } from './limits.ts'
import { newProposal, proposalToWire } from './proposal.ts'
import { type TestNode, testDemand } from './testing.ts'

let pairs: Pair[] = []
const open = async () => {
  const pair = await createPair()
  pairs.push(pair)
  return { ...pair, mallory: pair.network.addNode() }
}
afterEach(async () => {
  for (const pair of pairs) await Promise.all([pair.provider.stop(), pair.requestor.stop()])
  pairs = []
})

const BASE = '/market/protocol/mk1/negotiation'
const say = (from: TestNode, to: TestNode, path: string, body: unknown) =>
  from.bus.call(`/net/${to.nodeId}${BASE}/${path}`, body).then(
    () => 'ok',
    (error: { data?: unknown; message: string }) => JSON.stringify(error.data) ?? error.message,
  )
const at = '2026-01-01T00:00:00.000001'
const messagesAbout = (agreementId: string) =>
  [
    ['provider/agreement/AgreementCancelled', { agreementId, reason: null, cancellationTs: at }],
    ['provider/agreement/AgreementCommitted', { agreementId, signature: 'NoSignature' }],
    [
      'provider/agreement/AgreementTerminated',
      { agreementId, reason: null, signature: 'NotSigned', terminationTs: at },
    ],
    ['requestor/agreement/AgreementApproved', { agreementId, signature: 'NoSignature', approvedTs: at }],
    ['requestor/agreement/AgreementRejected', { agreementId, reason: null, rejectionTs: at }],
    [
      'requestor/agreement/AgreementTerminated',
      { agreementId, reason: null, signature: 'NotSigned', terminationTs: at },
    ],
  ] as const

describe('a node that is not a party', () => {
  it('cannot act on an agreement in any state, nor learn of it', async () => {
    const pair = await open()
    for (const agreement of [await propose(pair), await sign(await open())]) {
      for (const [path, body] of messagesAbout(agreement.agreementId)) {
        const to = path.startsWith('provider') ? pair.p : pair.r
        expect(await say(pair.mallory, to, path, body)).toContain('NotFound')
      }
    }
    const [entry] = pair.requestor.agreements.list(pair.r.nodeId, {})
    expect(states(pair, entry?.id ?? '')).toEqual(['Pending', 'Pending'])
  })

  it('cannot counter, reject or sign others’ proposals', async () => {
    const pair = await open()
    const { draft, demandId, offerId } = await negotiate(pair)
    const id = draft.proposalId
    const reject = { proposalId: id, initial: false, reason: null }
    expect(await say(pair.mallory, pair.p, 'provider/proposal/ProposalRejected', reject)).toContain('NotFound')
    const createdUs = pair.network.clock.nowMs() * 1000
    const counter = newProposal(
      { role: 'requestor', offerId, demandId, ownerId: pair.mallory.nodeId, peerId: pair.p.nodeId },
      {
        properties: '{}',
        constraints: '()',
        issuer: 'own',
        state: 'Draft',
        prevId: id,
        expirationTs: '2026-01-02T00:00:00',
        createdUs,
      },
    )
    const body = { prevProposalId: id, proposal: proposalToWire(counter) }
    expect(await say(pair.mallory, pair.p, 'provider/proposal/ProposalReceived', body)).toContain('NotFound')
    const creationTs = formatNaiveInstant(createdUs)
    const ids = { offerId: offerId as SubscriptionId, demandId: demandId as SubscriptionId, createdAt: creationTs }
    const validTo = '2026-02-01T00:00:00'
    const agreement = { proposalId: id, agreementId: agreementIdOf(ids), creationTs, validTo, signature: 'x' }
    expect(await say(pair.mallory, pair.p, 'provider/agreement/AgreementReceived', agreement)).toContain('NotFound')
  })
})

describe('the counterpart', () => {
  it('may repeat any message without effect', async () => {
    const pair = await open()
    const { agreementId, offerId, demandId } = await sign(pair)
    const queued = await eventsOf(pair.provider, pair.p, 'offer', offerId)
    expect(queued).toHaveLength(1)
    const sent = pair.network.messages.filter(({ address }) => address.startsWith(BASE))
    expect(sent.length).toBeGreaterThanOrEqual(5)
    for (const { from, to, address, value } of sent) {
      const node = from === pair.p.nodeId ? pair.p : pair.r
      expect(await codeOf(node.bus.call(`/net/${to}${address}`, value))).toBe('ok')
    }
    await pair.network.settle()
    expect(states(pair, agreementId)).toEqual(['Approved', 'Approved'])
    expect(await eventsOf(pair.provider, pair.p, 'offer', offerId)).toEqual([])
    expect(await eventsOf(pair.requestor, pair.r, 'demand', demandId)).toEqual([])
    expect(await pair.provider.agreements.events(pair.p.nodeId, { ...poll, afterUs: 0 })).toHaveLength(1)
  })

  it('cannot commit before the approval, nor revive an ended agreement', async () => {
    const pair = await open()
    const { agreementId } = await propose(pair)
    const commit = () => say(pair.r, pair.p, 'provider/agreement/AgreementCommitted', { agreementId, signature: 'x' })
    expect(await commit()).toContain('"InvalidState":"Pending"')
    await approve(pair, agreementId)
    await pair.network.settle()
    await pair.provider.agreements.terminate(pair.p.nodeId, agreementId, null)
    expect(await commit()).toContain('"InvalidState":"Terminated"')
    const approved = { agreementId, signature: 'x', approvedTs: at }
    expect(await say(pair.p, pair.r, 'requestor/agreement/AgreementApproved', approved)).toContain('InvalidState')
    const cancelled = { agreementId, reason: null, cancellationTs: at }
    expect(await say(pair.r, pair.p, 'provider/agreement/AgreementCancelled', cancelled)).toContain('InvalidState')
    expect(states(pair, agreementId)).toEqual(['Terminated', 'Terminated'])
  })

  it('cannot send what is too large, malformed, or under a wrong id', async () => {
    const pair = await open()
    const { offerId, demandId } = await negotiate(pair)
    const createdUs = pair.network.clock.nowMs() * 1000 + 7
    const make = (properties: string) =>
      newProposal(
        { role: 'requestor', offerId, demandId, ownerId: pair.r.nodeId, peerId: pair.p.nodeId },
        {
          properties,
          constraints: '()',
          issuer: 'own',
          state: 'Draft',
          prevId: null,
          expirationTs: '2026-01-02T00:00:00',
          createdUs,
        },
      )
    const path = 'provider/proposal/InitialProposalReceived'
    const offer = (proposal: unknown) => say(pair.r, pair.p, path, { proposal, offerId, demandId })
    const right = proposalToWire(make('{"golem.srv.comp.expiration":1}'))
    expect(await offer({ ...right, properties: `{"a":"${'x'.repeat(PROPERTIES_BYTES_MAX)}"}` })).toContain('properties')
    expect(await offer({ ...right, proposal_id: 'R-1' })).toContain('proposal_id')
    expect(await offer({ ...right, creation_ts: '2026-01-01T00:00:00.5' })).toContain('InvalidId')
    expect(await offer({ ...right, constraints: '(((' })).toContain('NotMatching')
    expect(await offer({ ...right, properties: 'not json' })).toContain('NotMatching')
    expect(await offer({ ...right, expiration_ts: '2020-01-01T00:00:00' })).toContain('expired')
    expect(await eventsOf(pair.provider, pair.p, 'offer', offerId)).toEqual([])
    expect(await offer(right)).toBe('ok')
  })

  it('can open only so many negotiations', async () => {
    const pair = await open()
    const { offerId, demandId } = await negotiate(pair)
    const results: string[] = []
    for (let n = 0; n <= OPEN_PROPOSALS_PER_PEER_MAX; n++) {
      const proposal = newProposal(
        { role: 'requestor', offerId, demandId, ownerId: pair.r.nodeId, peerId: pair.p.nodeId },
        {
          properties: '{"golem.srv.comp.expiration":1}',
          constraints: '()',
          issuer: 'own',
          state: 'Draft',
          prevId: null,
          expirationTs: '2026-01-02T00:00:00',
          createdUs: pair.network.clock.nowMs() * 1000 + n,
        },
      )
      const body = { proposal: proposalToWire(proposal), offerId, demandId }
      results.push(await say(pair.r, pair.p, 'provider/proposal/InitialProposalReceived', body))
    }
    expect(results.filter((result) => result === 'ok')).toHaveLength(OPEN_PROPOSALS_PER_PEER_MAX)
    expect(results.at(-1)).toContain('too many open proposals')
  })

  it('learns that an offer has ended', async () => {
    const pair = await open()
    const { offerId, demandId, draft } = await negotiate(pair)
    pair.provider.negotiations.unsubscribe('offer', pair.p.nodeId, offerId)
    const { negotiations } = pair.requestor
    const counter = negotiations.counter('demand', pair.r.nodeId, demandId, draft.proposalId, testDemand)
    await expect(counter).rejects.toMatchObject({
      code: 'peer-refused',
      message: expect.stringContaining('Unsubscribed'),
    })
  })
})
