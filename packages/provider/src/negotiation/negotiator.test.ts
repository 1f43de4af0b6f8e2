import { type NodeId, nodeId } from '@emet/core'
import { expect, test } from 'vitest'
import { rulesFileSchema } from '../rules.ts'
import { createNegotiator } from './negotiator.ts'
import { negotiationOptionsSchema } from './options.ts'

const NOW = Date.UTC(2026, 10, 23)
const REQUESTOR = nodeId(`0x${'ab'.repeat(20)}`)
const OFFER = {
  'golem.com.payment.platform.erc20-hoodi-tglm.address': `0x${'cd'.repeat(20)}`,
  'golem.com.payment.debit-notes.accept-timeout?': 240,
  'golem.com.scheme.payu.debit-note.interval-sec?': 120,
  'golem.com.scheme.payu.payment-timeout-sec?': 120,
  'golem.com.pricing.model.linear.coeffs': [0.001, 0.002, 0],
}
const DEMAND = {
  'golem.com.payment.chosen-platform': 'erc20-hoodi-tglm',
  'golem.srv.comp.expiration': NOW + 3_600_000,
  'golem.com.payment.debit-notes.accept-timeout?': 240,
  'golem.com.scheme.payu.debit-note.interval-sec?': 120,
  'golem.com.scheme.payu.payment-timeout-sec?': 120,
}

const judge = (
  demand: Record<string, unknown>,
  { options = {}, rules = {}, active = 0, from = REQUESTOR as NodeId } = {},
) =>
  createNegotiator(negotiationOptionsSchema.parse(options), () => rulesFileSchema.parse(rules))({
    demand: { ...DEMAND, ...demand },
    offer: OFFER,
    requestorId: from,
    nowMs: NOW,
    activeAgreements: active,
  })

test('equal terms are ready', () => {
  expect(judge({})).toEqual({ kind: 'ready', offer: OFFER })
})

test.each([
  ['missing platform', { 'golem.com.payment.chosen-platform': undefined }, {}, false, /Missing fields/],
  ['foreign platform', { 'golem.com.payment.chosen-platform': 'erc20-polygon-glm' }, {}, true, /not paid/],
  ['no capacity', {}, { active: 1 }, false, /limit: 1/],
  ['expires too soon', { 'golem.srv.comp.expiration': NOW + 60_000 }, {}, true, /too soon/],
  ['no expiration', { 'golem.srv.comp.expiration': undefined }, {}, true, /expiration/],
  ['too late without a promise', { 'golem.com.payment.debit-notes.accept-timeout?': undefined }, {}, false, /too late/],
  ['accepts too slowly', { 'golem.com.payment.debit-notes.accept-timeout?': 241 }, {}, true, /longer than our/],
  ['debit notes too often', { 'golem.com.scheme.payu.debit-note.interval-sec?': 0.5 }, {}, true, /outside/],
  ['pays too slowly', { 'golem.com.scheme.payu.payment-timeout-sec?': 86_401 }, {}, true, /outside/],
  [
    'long without payments',
    { 'golem.srv.comp.expiration': NOW + 11 * 3_600_000, 'golem.com.scheme.payu.payment-timeout-sec?': undefined },
    {},
    true,
    /while they run/,
  ],
  ['underpays', { 'golem.com.pricing.model.linear.coeffs': [0.001, 0.0019, 0] }, {}, true, /below ours/],
  [
    'prices that fit no bill',
    { 'golem.com.pricing.model.linear.coeffs': [0.001, 1e300, 0] },
    {},
    true,
    /above 1000000 GLM/,
  ],
  ['odd prices', { 'golem.com.pricing.model.linear.coeffs': [0.001] }, {}, false, /do not fit/],
  ['prices that are no numbers', { 'golem.com.pricing.model.linear.coeffs': ['1', null, {}] }, {}, false, /do not fit/],
  ['blacklisted', {}, { rules: { blacklist: { enabled: true, identity: [REQUESTOR] } } }, true, /blacklisted/],
  ['not allowed', {}, { rules: { 'allow-only': { enabled: true, identity: [] } } }, true, /allow list/],
] as const)('%s is rejected', (_name, demand, circumstances, isFinal, reason) => {
  expect(judge(demand, circumstances)).toMatchObject({ kind: 'reject', isFinal, reason: expect.stringMatching(reason) })
})

test.each([
  ['shorter acceptance', 'golem.com.payment.debit-notes.accept-timeout?', 60],
  ['other interval', 'golem.com.scheme.payu.debit-note.interval-sec?', 30],
  ['other payment timeout', 'golem.com.scheme.payu.payment-timeout-sec?', 600],
  ['a better price', 'golem.com.pricing.model.linear.coeffs', [0.002, 0.002, 0]],
])('%s is adopted', (_name, property, value) => {
  expect(judge({ [property]: value })).toEqual({ kind: 'negotiating', offer: { ...OFFER, [property]: value } })
})

test('terms that the requestor leaves out are taken out', () => {
  const verdict = judge({ 'golem.com.scheme.payu.debit-note.interval-sec?': undefined })
  expect(verdict.kind).toBe('negotiating')
  expect('offer' in verdict && 'golem.com.scheme.payu.debit-note.interval-sec?' in verdict.offer).toBe(false)
})

test('after one round of adopting, the same demand is ready', () => {
  const demand = { ...DEMAND, 'golem.com.scheme.payu.debit-note.interval-sec?': 30 }
  const negotiate = createNegotiator(negotiationOptionsSchema.parse({}), () => rulesFileSchema.parse({}))
  const base = { demand, requestorId: REQUESTOR, nowMs: NOW, activeAgreements: 0 }
  const first = negotiate({ ...base, offer: OFFER })
  expect(first.kind === 'negotiating' && negotiate({ ...base, offer: first.offer }).kind).toBe('ready')
})
