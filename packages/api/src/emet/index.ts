/** Our additions under `/emet/v1`: what the command line, the provider agent and the SDK need beside the published API. */
export { type ActivityViewDocument, emetActivityApi } from './activity.ts'
export { emetFilesApi, type FileDocument, type PublishedFileDocument } from './files.ts'
export {
  ALLOWED_ORIGINS_MAX,
  type AppKeyDocument,
  emetIdentityApi,
  type IdentityDocument,
  PASSWORD_LENGTH_MAX,
} from './identity.ts'
export { type ExplanationDocument, emetMarketApi } from './market.ts'
export { emetNetApi, type PeerDocument } from './net.ts'
export { emetNodeApi, type NodeStatusDocument } from './node.ts'
export { emetPaymentApi, type PaymentNetworkDocument, type PaymentStatusDocument } from './payment.ts'
export { LIST_ITEMS_MAX } from './shared.ts'
