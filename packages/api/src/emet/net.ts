/** Peers of this node. */
import { instantSchema, nodeIdSchema, nullable, shortTextSchema } from '@emet/core'
import { z } from 'zod'
import { defineApi } from '../route.ts'
import { byNode, done, EMET_BASE, malformed } from './shared.ts'

const peerSchema = z
  .object({
    nodeId: nodeIdSchema,
    state: z.enum(['connecting', 'connected', 'backing-off']),
    roles: z.array(z.string()),
    aliases: z.array(nodeIdSchema),
    path: z.enum(['direct', 'relayed']),
    endpoint: nullable(z.string()),
    transport: z.string(),
    connectedSince: nullable(instantSchema),
    roundTripMs: nullable(z.number()),
  })
  .meta({ id: 'Peer' })
export type PeerDocument = z.output<typeof peerSchema>

export const emetNetApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: net',
  description: 'Peers of this node',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/net/status',
      summary: 'Who this node is in the network and where others reach it',
      success: {
        status: 200,
        body: z.object({
          nodeId: nodeIdSchema,
          endpoints: z.array(z.string()),
          listenAddress: nullable(z.string()),
          publicAddress: nullable(z.string()),
          sessions: z.int().min(0),
        }),
      },
      errors: [],
    },
    listPeers: {
      method: 'GET',
      path: '/net/peers',
      summary: 'The peers this node knows, and their state',
      success: { status: 200, body: z.array(peerSchema) },
      errors: [],
    },
    connect: {
      method: 'POST',
      path: '/net/peers',
      access: 'manager',
      summary: 'Connects to a peer: a node id, which is looked up, or an endpoint',
      body: z.object({ target: shortTextSchema.min(1) }),
      success: { status: 200, body: peerSchema },
      errors: [400, 404, 504],
    },
    disconnect: {
      method: 'DELETE',
      path: '/net/peers/:nodeId',
      access: 'manager',
      summary: 'Closes the connection to a peer',
      params: byNode,
      success: done,
      errors: [400, 404],
    },
  },
})
