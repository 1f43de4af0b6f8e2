import type { ProviderClient } from '../types.ts'
import { type Book, failure, known } from './book.ts'
import { PROVIDER_ID } from './machine.ts'

/** The market API over the book. */
export function createMarket({
  agreements,
  offers,
  proposals,
  queues,
  agreementEvents,
  id,
  tick,
  wake,
  call,
  poll,
  setAgreement,
  commit,
  terminate,
}: Book): ProviderClient['market'] {
  return {
    listAgreements: (given = {}) =>
      call('listAgreements', given, () =>
        [...agreements.values()]
          .filter(({ state }) => state === given.query?.state)
          .map(({ agreementId, timestamp, approvedDate }) => ({
            id: agreementId,
            timestamp,
            approvedDate: approvedDate ?? null,
            role: 'Provider' as const,
          })),
      ),
    getAgreement: (given) => call('getAgreement', given, () => known(agreements.get(given.params.agreementId))),
    getAgreementEvents: async (given = {}) => {
      const { timeout = 5, afterTimestamp = 0 } = given.query ?? {}
      await call('getAgreementEvents', given, () => {})
      return poll(timeout, given.signal, () => agreementEvents.filter(({ eventDate }) => eventDate > afterTimestamp))
    },
    terminateAgreement: (given) =>
      call('terminateAgreement', given, () => {
        if (agreements.get(given.params.agreementId)?.state !== 'Approved') throw failure(410)
        terminate(given.params.agreementId, 'Provider')
        return undefined
      }),
    createOffer: (given) =>
      call('createOffer', given, () => {
        const offerId = id('offer')
        offers.set(offerId, { ...given.body, offerId, providerId: PROVIDER_ID, timestamp: tick() })
        queues.set(offerId, [])
        return offerId
      }),
    listOffers: (given = {}) => call('listOffers', given, () => [...offers.values()]),
    deleteOffer: (given) =>
      call('deleteOffer', given, () => {
        if (!offers.delete(given.params.subscriptionId)) throw failure(404)
        wake()
        return undefined
      }),
    getOfferEvents: async (given) => {
      const { subscriptionId } = given.params
      await call('getOfferEvents', given, () => {})
      const read = () => {
        if (!offers.has(subscriptionId)) throw failure(404)
        return queues.get(subscriptionId)?.splice(0) ?? []
      }
      return poll(given.query?.timeout ?? 5, given.signal, read)
    },
    getOfferProposal: (given) => call('getOfferProposal', given, () => known(proposals.get(given.params.proposalId))),
    counterDemandProposal: (given) =>
      call('counterDemandProposal', given, () => {
        const proposalId = id('P')
        const prevProposalId = given.params.proposalId
        const common = { proposalId, prevProposalId, issuerId: PROVIDER_ID, state: 'Draft' as const, timestamp: tick() }
        proposals.set(proposalId, { ...given.body, ...common })
        return proposalId
      }),
    rejectDemandProposal: (given) => call('rejectDemandProposal', given, () => undefined),
    approveAgreement: (given) =>
      call('approveAgreement', given, () => {
        const { agreementId } = given.params
        if (agreements.get(agreementId)?.state !== 'Pending') throw failure(410)
        commit(agreementId)
        return undefined
      }),
    rejectAgreement: (given) =>
      call('rejectAgreement', given, () => {
        setAgreement(given.params.agreementId, 'Rejected')
        return undefined
      }),
  }
}
