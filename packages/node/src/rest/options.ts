import { z } from 'zod'

/** Largest JSON body, in bytes. Golem wire: spec/rest-api.md §1.1. */
export const JSON_BODY_BYTES_MAX = 2 * 1024 * 1024

/** How often a quiet event stream says that it lives, in ms. Golem wire: spec/rest-api.md §2.4. */
export const EVENT_STREAM_PING_MS = 15_000

/** How long a client may take to send a whole request, in ms. Long, for uploads. */
export const REQUEST_RECEIVE_MS_MAX = 60 * 60 * 1000

/** How long an idle connection is kept, in ms. Golem wire: spec/rest-api.md §1.1. */
export const KEEP_ALIVE_MS = 60_000

/** How long `stop()` lets running handlers answer before their connections are cut, in ms. */
export const STOP_GRACE_MS = 500

/** Deepest nesting of a JSON body. Golem wire: the limit of the original's parser. */
export const JSON_DEPTH_MAX = 128

/** Most connections at once. */
export const CONNECTIONS_MAX = 4096

/** Largest message of a WebSocket, in bytes. */
export const WEB_SOCKET_MESSAGE_BYTES_MAX = 16 * 1024 * 1024

/** Settings of the REST server. */
export const restOptionsSchema = z.object({
  host: z.string().default('127.0.0.1').describe('Address to listen on'),
  port: z.int().min(0).max(65_535).default(7465).describe('Port to listen on; 0 takes a free one'),
  allowRemote: z.boolean().default(false).describe('Permits a host that is not loopback'),
  allowOrigins: z.array(z.string()).default([]).describe('Web origins that may call, for every app key; * is any'),
  corsMaxAgeSeconds: z.int().min(0).default(3600).describe('How long a browser may keep a preflight answer'),
})
export type RestOptions = z.output<typeof restOptionsSchema>
