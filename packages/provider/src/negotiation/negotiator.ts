import type { Rules } from '../rules.ts'
import {
  acceptTimeout,
  allowOnly,
  blacklist,
  debitNoteInterval,
  limitAgreements,
  limitExpiration,
  paymentPlatform,
  paymentTimeout,
  price,
} from './components.ts'
import type { NegotiationOptions } from './options.ts'
import type { FlatProperties, NegotiationInput, NegotiatorComponent } from './types.ts'

/** What came out of all components: our answer to a demand. */
export type Verdict =
  | { readonly kind: 'ready'; readonly offer: FlatProperties }
  | { readonly kind: 'negotiating'; readonly offer: FlatProperties }
  | { readonly kind: 'reject'; readonly reason: string; readonly isFinal: boolean }

export type Negotiator = (input: NegotiationInput) => Verdict

/** Asks every component; each sees our offer as the ones before changed it. The first rejection decides. */
export function createNegotiator(options: NegotiationOptions, rules: () => Rules): Negotiator {
  const components: readonly NegotiatorComponent[] = [
    paymentPlatform,
    blacklist(rules),
    allowOnly(rules),
    limitAgreements(options),
    limitExpiration(options),
    acceptTimeout(options),
    debitNoteInterval(options),
    paymentTimeout(options),
    price,
  ]
  return (input) => {
    let offer = input.offer
    let isChanged = false
    for (const component of components) {
      const decision = component({ ...input, offer })
      if (decision.kind === 'reject') return decision
      if (decision.kind === 'negotiating') {
        offer = applyChange(offer, decision.change)
        isChanged = true
      }
    }
    return { kind: isChanged ? 'negotiating' : 'ready', offer }
  }
}

function applyChange(offer: FlatProperties, change: Readonly<Record<string, unknown>>): FlatProperties {
  return Object.fromEntries(Object.entries({ ...offer, ...change }).filter(([, value]) => value !== undefined))
}
