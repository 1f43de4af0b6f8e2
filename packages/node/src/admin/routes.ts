import type { emetNodeApi, RouteHandlers } from '@emet/api'
import { type Clock, fromMs, type NodeId } from '@emet/core'

export type AdminDeps = {
  readonly clock: Clock
  readonly nodeId: () => NodeId
  readonly version: string
  readonly startedMs: number
  /** What the modules have under way. */
  readonly counts: (nodeId: NodeId) => {
    readonly peers: number
    readonly knownOffers: number
    readonly offers: number
    readonly demands: number
    readonly agreements: number
    readonly activities: number
  }
  /** The settings in effect, without secrets. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Asks the process to stop the daemon. Returns at once. */
  readonly requestShutdown: () => void
}

/** Time for the answer to a shutdown to leave the process. */
const SHUTDOWN_DELAY_MS = 100

export function createAdminRoutes(deps: AdminDeps): RouteHandlers<typeof emetNodeApi> {
  return {
    getStatus: async ({ caller }) => ({
      nodeId: deps.nodeId(),
      version: deps.version,
      startedAt: fromMs(deps.startedMs),
      uptimeSeconds: (deps.clock.nowMs() - deps.startedMs) / 1000,
      ...deps.counts(caller.nodeId),
    }),
    getConfig: async () => ({ ...deps.settings }),
    shutdown: async () => {
      deps.clock.setTimer(SHUTDOWN_DELAY_MS, deps.requestShutdown)
      return null
    },
  }
}
