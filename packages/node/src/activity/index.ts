/**
 * Activities: uses of an agreement's resources, in both roles.
 *
 *     requestor's agent          requestor's daemon              provider's daemon          provider's agent
 *       POST /activity   ------>   CreateActivity   ----------->   stores, tells   ------->   starts an exe-unit
 *                        <------   the activity id  <-----------   Initialized     <-------   (reports by the bus)
 *       POST .../exec    ------>   Exec             ------------------------------------->   the exe-unit
 *
 * The provider's record is the truth; the requestor's is a copy that its own questions bring up to date. Everything is
 * stored before anybody is told; a daemon that restarts goes on where it was, and the exe-units attach to it again.
 *
 * An exe-unit that stops reporting is shown as Unresponsive after 5 s; after 10 s the agent is told to destroy it; when
 * nobody does within two minutes it counts as Terminated. When an agreement ends, so do its activities.
 */
export { createActivity } from './activity.ts'
export { activityAgreements } from './agreements.ts'
export { ActivityError, type ActivityErrorCode } from './errors.ts'
export { type ActivityOptions, activityOptionsSchema } from './options.ts'
export { activityRoutes, emetActivityRoutes } from './routes.ts'
export type {
  Activities,
  ActivityAgreement,
  ActivityDeps,
  ActivityFilter,
  ActivityRecord,
  AgreementSource,
  ProviderActivities,
  RequestorActivities,
  WaitOptions,
} from './types.ts'
