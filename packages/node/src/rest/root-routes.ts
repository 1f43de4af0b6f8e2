/** The routes of the daemon itself: caller, version, health, metrics. Golem wire: spec/rest-api.md §2.1, §2.2. */
import { RestError, type RouteHandlers, type rootApi } from '@emet/api'
import { fromMs, type Release } from '@emet/core'
import type { Metrics } from './metrics.ts'

/** The version of the published API that clients check. Golem wire: golem-js wants at least 0.15.2. */
export const COMPATIBLE_VERSION = '0.17.6'

/** The original writes this instant for a build that it does not know from a release feed. */
const BUILD_RELEASE_TS = fromMs(Date.UTC(2015, 9, 13, 15, 43))

/** One check of the daemon's health. Throws `HealthProblem` when something is wrong. */
export type HealthCheck = (signal: AbortSignal) => Promise<void>

/** What `/healthcheck` answers when a part is ill: a type below `/healthcheck`, the step, and further facts. */
export class HealthProblem extends Error {
  readonly type: string
  readonly step: string
  readonly facts: Readonly<Record<string, unknown>>
  constructor(type: string, step: string, message: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.name = 'HealthProblem'
    this.type = type
    this.step = step
    this.facts = facts
  }
}

export type RootDeps = {
  /** The build's own name and version, such as `emet 0.1.0`. */
  readonly buildName: string
  readonly metrics: Metrics
  /** Run in this order; the first failure is the answer. */
  readonly healthChecks: readonly HealthCheck[]
}

/** Binds the root API. */
export function createRootRoutes({ buildName, metrics, healthChecks }: RootDeps): RouteHandlers<typeof rootApi> {
  const all = async () => metrics.text()
  return {
    getMe: async ({ caller }) => ({ identity: caller.nodeId, name: caller.keyName, role: caller.role }),
    getVersion: async () => ({ current: releaseOf(buildName), pending: null }),
    getHealth: async ({ signal }) => {
      for (const check of healthChecks) await check(signal).catch(refuse)
      return { status: 'ok' }
    },
    getMetrics: all,
    getSortedMetrics: all,
    getFilteredMetrics: async ({ params }) => metrics.text(params.prefixes),
    getPushedMetrics: async () => '',
  }
}

function releaseOf(buildName: string): Release {
  return {
    version: COMPATIBLE_VERSION,
    name: buildName,
    seen: true,
    releaseTs: BUILD_RELEASE_TS,
    insertionTs: null,
    updateTs: null,
  }
}

function refuse(cause: unknown): never {
  if (!(cause instanceof HealthProblem)) throw cause
  const body = { type: cause.type, instance: cause.type, detail: cause.message, step: cause.step, ...cause.facts }
  throw new RestError(500, cause.message, { body, contentType: 'application/problem+json', cause })
}
