import type { ActivityState, Agreement, Clock, DebitNote, Invoice, Offer, Proposal } from '@emet/core'
import type { ProviderClient } from '../types.ts'
import { createActivity } from './activity.ts'
import { createBook, type FakeSettings, known } from './book.ts'
import { PLATFORM, PROVIDER_ID, REQUESTOR_ID } from './machine.ts'
import { createMarket } from './market.ts'
import { createPayment } from './payment.ts'

/** What the daemon knows, and what a requestor does to it. */
export interface FakeDaemon extends FakeSettings {
  readonly client: ProviderClient
  readonly agreements: Map<string, Agreement>
  readonly offers: Map<string, Offer>
  readonly notes: DebitNote[]
  readonly invoices: Invoice[]
  readonly states: Map<string, ActivityState>
  readonly usage: Map<string, number[]>
  /** Every call, in order: its name, and what it was given. */
  readonly calls: { readonly name: string; readonly body: unknown }[]
  /** Polls that wait for an event. */
  readonly waiting: number
  /** The requestor answers the newest offer with a demand. Returns the proposal's id. */
  propose(demand?: Record<string, unknown>, previousId?: string): string
  /** Proposes an agreement over what the provider countered last. */
  proposeAgreement(demand?: Record<string, unknown>): string
  /** The requestor commits to an agreement, whoever hears of it. */
  commit(agreementId: string): void
  createActivity(agreementId: string): string
  destroyActivity(activityId: string): void
  terminate(agreementId: string, terminator?: 'Requestor' | 'Provider'): void
  /** The offer is forgotten, as after its expiry. */
  expire(offerId: string): void
  /** An agreement as if approved in a former life of the agent. */
  addAgreement(agreement: Partial<Agreement> & { demand?: never; properties?: Record<string, unknown> }): string
  addActivity(agreementId: string, state: ActivityState): string
}

/** The terms that a test's demand asks for. */
export function demandOf(clock: Clock, properties: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    'golem.com.payment.chosen-platform': PLATFORM,
    'golem.srv.comp.expiration': clock.nowMs() + 3_600_000,
    'golem.com.payment.debit-notes.accept-timeout?': 240,
    'golem.com.scheme.payu.debit-note.interval-sec?': 120,
    'golem.com.scheme.payu.payment-timeout-sec?': 120,
    ...properties,
  }
}

/** A daemon that has just started, and knows nothing. */
export function createFakeDaemon(clock: Clock): FakeDaemon {
  const book = createBook(clock)
  const {
    agreements,
    offers,
    proposals,
    queues,
    owners,
    states,
    usage,
    notes,
    invoices,
    calls,
    settings,
    waiters,
    id,
    tick,
    wake,
    call,
    terminate,
    addActivityEvent,
  } = book
  const newestOffer = () => known([...offers.values()].at(-1))

  const addAgreement: FakeDaemon['addAgreement'] = ({ properties = {}, ...rest }) => {
    const agreementId = rest.agreementId ?? id('agreement')
    const demand = demandOf(clock, properties)
    const timestamp = rest.timestamp ?? tick()
    const text = { constraints: '()', timestamp }
    agreements.set(agreementId, {
      demand: { ...text, properties: demand, demandId: 'demand', requestorId: REQUESTOR_ID },
      offer: { ...text, properties: OFFER_TERMS, offerId: 'offer', providerId: PROVIDER_ID },
      validTo: timestamp + 60_000_000,
      state: 'Approved',
      approvedDate: timestamp,
      ...rest,
      agreementId,
      timestamp,
    })
    return agreementId
  }
  return {
    client: {
      root: {
        getMe: (given = {}) => call('getMe', given, () => ({ identity: PROVIDER_ID, name: 'test', role: 'manager' })),
      },
      market: createMarket(book),
      activity: createActivity(book),
      payment: createPayment(book),
    },
    agreements,
    offers,
    notes,
    invoices,
    states,
    usage,
    calls,
    get fails() {
      return settings.fails
    },
    set fails(fails) {
      settings.fails = fails
    },
    get pays() {
      return settings.pays
    },
    set pays(pays) {
      settings.pays = pays
    },
    get waiting() {
      return waiters.size
    },
    propose: (demand = {}, prevProposalId) => {
      const { offerId } = newestOffer()
      const proposal: Proposal = {
        properties: demandOf(clock, demand),
        constraints: '()',
        proposalId: id('R'),
        issuerId: REQUESTOR_ID,
        state: prevProposalId === undefined ? 'Initial' : 'Draft',
        timestamp: tick(),
        prevProposalId,
      }
      proposals.set(proposal.proposalId, proposal)
      queues.get(offerId)?.push({ eventType: 'ProposalEvent', eventDate: tick(), proposal })
      wake()
      return proposal.proposalId
    },
    proposeAgreement: (demand = {}) => {
      const offer = newestOffer()
      const countered = [...proposals.values()].filter(({ issuerId }) => issuerId === PROVIDER_ID).at(-1)
      const agreementId = addAgreement({ properties: demand, state: 'Pending', approvedDate: undefined })
      const agreement = known(agreements.get(agreementId))
      const properties = countered?.properties ?? offer.properties
      const signed = { ...agreement, offer: { ...offer, properties } }
      agreements.set(agreementId, signed)
      queues.get(offer.offerId)?.push({ eventType: 'AgreementEvent', eventDate: tick(), agreement: signed })
      wake()
      return agreementId
    },
    commit: book.commit,
    createActivity: (agreementId) => {
      const activityId = id('activity')
      owners.set(activityId, agreementId)
      states.set(activityId, { state: ['New', null] })
      addActivityEvent(activityId, { CreateActivity: {} })
      return activityId
    },
    destroyActivity: (activityId) => addActivityEvent(activityId, { DestroyActivity: {} }),
    terminate: (agreementId, terminator = 'Requestor') => terminate(agreementId, terminator),
    expire: (offerId) => {
      offers.delete(offerId)
      wake()
    },
    addAgreement,
    addActivity: (agreementId, state) => {
      const activityId = id('activity')
      owners.set(activityId, agreementId)
      states.set(activityId, state)
      return activityId
    },
  }
}

/** The agreed side of the provider, for agreements of former lives. */
const OFFER_TERMS = {
  'golem.runtime.name': 'wasmtime',
  'golem.com.pricing.model': 'linear',
  'golem.com.pricing.model.linear.coeffs': [0.002, 0.001, 0.5],
  'golem.com.usage.vector': ['golem.usage.cpu_sec', 'golem.usage.duration_sec'],
  'golem.com.payment.debit-notes.accept-timeout?': 240,
  'golem.com.scheme.payu.debit-note.interval-sec?': 120,
  'golem.com.scheme.payu.payment-timeout-sec?': 120,
}
