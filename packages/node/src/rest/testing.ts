/** A server whose handlers answer with samples of the contract and record what they got. */
import { type Api, EventStream, type Route, type RouteHandler, type RouteRequest } from '@emet/api'
import { allApis, sampleOf } from '@emet/api/testing'
import { nodeId, silentLogger, systemClock } from '@emet/core'
import { z } from 'zod'
import type { AppKey } from '../identity/types.ts'
import { createMetrics } from './metrics.ts'
import { type RestOptions, restOptionsSchema } from './options.ts'
import type { ApiMount, RestServerDeps, WebSocketHandler } from './types.ts'

export const TEST_KEY: AppKey = {
  key: 'test-key',
  name: 'test',
  role: 'manager',
  nodeId: nodeId('0x00000000000000000000000000000000000000aa'),
  allowOrigins: ['https://own.example'],
  createdMs: 0,
}

/** A key that may trade, but not change the node. */
export const TEST_AGENT_KEY: AppKey = { ...TEST_KEY, key: 'test-agent-key', name: 'agent', role: 'agent' }

export type Recorded = { readonly api: Api; readonly name: string; readonly request: RouteRequest<Route> }

/** Handlers for every route of `apis`, that return what the contract promises. */
export function recordingMounts(recorded: Recorded[], apis: readonly Api[] = allApis): ApiMount[] {
  return apis.map((api) => {
    const handlers: Record<string, RouteHandler<Route>> = {}
    const webSockets: Record<string, WebSocketHandler> = {}
    for (const [name, route] of Object.entries(api.routes)) {
      if (route.websocket) webSockets[name] = async () => (socket) => socket.on('message', (data) => socket.send(data))
      else
        handlers[name] = (async (request: RouteRequest<Route>) => {
          recorded.push({ api, name, request })
          return sampleReply(route)
        }) as unknown as RouteHandler<Route>
    }
    return { api, handlers, webSockets }
  })
}

function sampleReply(route: Route): unknown {
  const { body } = route.success
  if (body instanceof z.ZodType) return body.parse(sampleOf(body))
  if (body === 'text') return 'text'
  if (body === 'bytes') return Uint8Array.of(1, 2, 3)
  if (body === 'events') return new EventStream((async function* () {})(), { whenDone: 'close' })
  return undefined
}

/** Dependencies around the given mounts, with an app key of each role. */
export function testDeps(mounts: readonly ApiMount[], given: Partial<RestServerDeps> = {}): RestServerDeps {
  return {
    keys: {
      findAppKey: (key) => [TEST_KEY, TEST_AGENT_KEY].find((known) => known.key === key),
      appKeys: () => [TEST_KEY, TEST_AGENT_KEY],
    },
    mounts,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
    ...given,
  }
}

/** Options for a free port on loopback. */
export function testOptions(given: Partial<RestOptions> = {}): RestOptions {
  return restOptionsSchema.parse({ port: 0, ...given })
}
