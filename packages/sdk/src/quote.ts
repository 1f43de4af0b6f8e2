import { type AbortOptions, joinConstraints } from '@emet/core'
import { offerConstraints } from './demand.ts'
import { toWei } from './money.ts'
import { byPrice, numberOf, viewOffer } from './offers.ts'
import { WASM_RUNTIME } from './payload.ts'
import type { RentContext } from './rent.ts'
import type { Money, Quote, QuotedOffer, RentSpec } from './types.ts'

/** Looks at the live offers the daemon knows. Reserves nothing, publishes nothing, asks no provider. */
export async function quoteOffers(
  { client, subnet }: Pick<RentContext, 'client' | 'subnet'>,
  spec: RentSpec,
  { signal, perHour }: AbortOptions & { readonly perHour?: Money },
): Promise<Quote> {
  const constraints = joinConstraints('&', offerConstraints(spec, spec.payload.runtime ?? WASM_RUNTIME, subnet))
  const found = await client.emet.market.listKnownOffers({ query: { constraints }, signal })
  const perHourMax = perHour === undefined ? undefined : toWei(perHour, 'perHour')
  const offers = found
    .flatMap((offer) => {
      const view = viewOffer(offer.providerId, offer.properties, spec)
      return view ? [{ ...view, offerId: offer.offerId }] : []
    })
    .filter((view) => perHourMax === undefined || view.perHour <= perHourMax)
    .filter((view) => !spec.avoid?.includes(view.providerId) && (spec.only?.includes(view.providerId) ?? true))
    .sort(byPrice)
    .map(
      ({ offerId, providerId, name, pricing, perHour: cost, flat }): QuotedOffer => ({
        offerId,
        providerId,
        name,
        pricing,
        perHour: cost,
        threads: numberOf(flat, 'golem.inf.cpu.threads'),
        memoryGib: numberOf(flat, 'golem.inf.mem.gib'),
        storageGib: numberOf(flat, 'golem.inf.storage.gib'),
      }),
    )
  return {
    offers,
    cheapestPerHour: offers[0]?.perHour,
    medianPerHour: offers[Math.floor((offers.length - 1) / 2)]?.perHour,
  }
}
