/** How one module's facts become another's ports. */
import type { Market } from './market/index.ts'
import type { AgreementSource } from './payment/index.ts'

/** The market's agreements, as payment sees them. */
export function paymentAgreements({ agreements }: Pick<Market, 'agreements'>): AgreementSource {
  return {
    get: (agreementId, owner) => {
      const view = agreements.get(agreementId, owner)
      if (!view) return undefined
      const { offer, demand, ...facts } = view
      return { ...facts, offerProperties: offer.properties, demandProperties: demand.properties }
    },
  }
}
