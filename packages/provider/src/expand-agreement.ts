import { type Agreement, expandProperties, type FlatProperties } from '@emet/core'

/** Exe-units read the agreement as one tree, its properties expanded. (Golem: `agreement.json`.) */
export function expandAgreement({ agreementId, demand, offer, validTo }: Agreement): unknown {
  const expand = (properties: Record<string, unknown>) => expandProperties(properties as FlatProperties)
  return {
    agreementId,
    validTo,
    demand: { ...demand, properties: expand(demand.properties) },
    offer: { ...offer, properties: expand(offer.properties) },
  }
}
