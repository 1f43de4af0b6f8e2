/** How one module's facts become another's ports. */
import type { NodeId } from '@emet/core'
import type { Activities } from './activity/index.ts'
import type { Market } from './market/index.ts'
import type { ActivitySource, AgreementSource } from './payment/index.ts'

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

/** The activities of all our identities, as payment sees them. */
export function paymentActivities(activities: Pick<Activities, 'list'>, ids: () => readonly NodeId[]): ActivitySource {
  return {
    agreementOf: (activityId) => {
      for (const id of ids()) {
        const record = activities.list(id, { activityId, maxItems: 1 })[0]
        if (record) return record.agreementId
      }
      return undefined
    },
  }
}
