import type { NodeId, Unregister } from '@emet/core'
import type { ActivityAgreement, AgreementSource } from './types.ts'

/** As much of the market as activities need. */
type MarketPart = {
  readonly agreements: { get(agreementId: string, owner: NodeId): ActivityAgreement | undefined }
  onAgreement(listener: (change: { readonly kind: string; readonly agreement: ActivityAgreement }) => void): Unregister
}

/** The market as the source of agreements. */
export function activityAgreements(market: MarketPart): AgreementSource {
  return {
    get: (agreementId, nodeId) => market.agreements.get(agreementId, nodeId),
    onTerminated: (listener) =>
      market.onAgreement(({ kind, agreement }) => {
        if (kind === 'terminated') listener(agreement)
      }),
  }
}
