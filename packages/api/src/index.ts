/** The REST contract: routes and schemas declared once, and what is derived from them. */
export { ACTIVITY_EVENTS_MAX, activityApi } from './activity.ts'
export { type Client, type ClientOptions, createClient, createClientGroup } from './client/client.ts'
export { ApiError, type ApiErrorCode, hasStatus } from './client/errors.ts'
export { EVENT_LENGTH_MAX } from './client/events.ts'
export type {
  CallArguments,
  CallReply,
  ClientGroup,
  ClientMethod,
  CommonArguments,
  StreamedEvent,
} from './client/types.ts'
export {
  type ActivityViewDocument,
  ALLOWED_ORIGINS_MAX,
  type AppKeyDocument,
  type ExplanationDocument,
  emetActivityApi,
  emetFilesApi,
  emetIdentityApi,
  emetMarketApi,
  emetNetApi,
  emetNodeApi,
  emetPaymentApi,
  type FileDocument,
  type IdentityDocument,
  LIST_ITEMS_MAX,
  type NodeStatusDocument,
  PASSWORD_LENGTH_MAX,
  type PaymentNetworkDocument,
  type PaymentStatusDocument,
  type PeerDocument,
  type PublishedFileDocument,
} from './emet/index.ts'
export { GSB_PROTOCOL, gsbApi, SERVICE_COMPONENTS_MAX } from './gsb.ts'
export {
  MARKET_EVENTS_DEFAULT,
  MARKET_EVENTS_MAX,
  marketApi,
  POLL_SECONDS_DEFAULT,
  SCAN_EVENTS_DEFAULT,
  SCAN_EVENTS_MAX,
} from './market.ts'
export { netApi } from './net.ts'
export { DOCUMENT_SEND_SECONDS_DEFAULT, paymentApi } from './payment.ts'
export { LONG_POLL_SECONDS_MAX } from './query.ts'
export { rootApi } from './root.ts'
export {
  APP_KEY_ROLES,
  type Api,
  type AppKeyRole,
  defineApi,
  EventStream,
  failureStatuses,
  type MalformedAnswers,
  type Method,
  nullSchema,
  type ReplyBody,
  ReplyWithHeaders,
  type RestCaller,
  RestError,
  type Route,
  type RouteHandler,
  type RouteHandlers,
  type RouteRequest,
  routePath,
  type ServerEvent,
  type WebSocketNames,
} from './route.ts'
