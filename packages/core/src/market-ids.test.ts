import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { nodeId } from './ids.ts'
import {
  agreementIdOf,
  createSubscriptionId,
  hashTimestamp,
  isSubscriptionIdOf,
  MarketIdError,
  parseAgreementId,
  parseProposalId,
  parseSubscriptionId,
  proposalHash,
  proposalIdFor,
  proposalIdOf,
  proposalRole,
  type SubscriptionId,
  subscriptionHash,
} from './market-ids.ts'
import { createSeededRandom } from './testing.ts'

type Subscription = { properties: string; constraints: string; nodeId: string; createdAt: string; expiresAt: string }
const vectors = JSON.parse(readFileSync(new URL('../../../spec/vectors/market-ids.json', import.meta.url), 'utf8')) as {
  timestamps: { instant: string; text: string }[]
  badTimestamps: string[]
  subscriptions: (Subscription & { hash: string; otherHash?: string })[]
  proposals: { offerId: string; demandId: string; createdAt: string; hash: string }[]
  badSubscriptionIds: string[]
  badProposalIds: string[]
}

describe('instants in hashes', () => {
  test.each(vectors.timestamps)('$instant is $text', ({ instant, text }) => expect(hashTimestamp(instant)).toBe(text))
  test.each(vectors.badTimestamps)('%j is refused', (text) => expect(() => hashTimestamp(text)).toThrow(MarketIdError))
})

describe('subscription ids', () => {
  const random = createSeededRandom(7)

  test.each(vectors.subscriptions)('$createdAt hashes to $hash', ({ hash, otherHash, ...given }) => {
    const content = { ...given, nodeId: nodeId(given.nodeId) }
    expect(subscriptionHash(content)).toBe(hash)
    const id = createSubscriptionId(content, random)
    expect(parseSubscriptionId(id)).toBe(id)
    expect(isSubscriptionIdOf(id, content)).toBe(true)
    expect(isSubscriptionIdOf(id, { ...content, constraints: '(a=1)' })).toBe(false)
    expect(isSubscriptionIdOf(id, { ...content, createdAt: 'never' })).toBe(false)
    if (otherHash) expect(isSubscriptionIdOf(`${id.slice(0, 33)}${otherHash}` as SubscriptionId, content)).toBe(false)
  })

  test.each(vectors.badSubscriptionIds)('%j is refused', (text) => expect(parseSubscriptionId(text)).toBeUndefined())
})

describe('proposal and agreement ids', () => {
  test.each(vectors.proposals)('$createdAt hashes to $hash', ({ hash, offerId, demandId, createdAt }) => {
    const content = { offerId: parseSubscriptionId(offerId)!, demandId: parseSubscriptionId(demandId)!, createdAt }
    expect(proposalHash(content)).toBe(hash)
    expect(agreementIdOf(content)).toBe(hash)
    const mine = proposalIdOf('requestor', content)
    expect(mine).toBe(`R-${hash}`)
    expect(proposalRole(mine)).toBe('requestor')
    expect(proposalIdFor('provider', mine)).toBe(`P-${hash}`)
    expect(parseProposalId(mine)).toBe(mine)
    expect(parseAgreementId(hash)).toBe(hash)
    expect(parseAgreementId(mine)).toBeUndefined()
  })

  test.each(vectors.badProposalIds)('%j is refused', (text) => expect(parseProposalId(text)).toBeUndefined())
})
