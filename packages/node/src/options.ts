import { z } from 'zod'
import { activityOptionsSchema } from './activity/index.ts'
import { identityOptionsSchema } from './identity/index.ts'
import { marketOptionsSchema, offerIndexOptionsSchema } from './market/index.ts'
import { paymentOptionsSchema } from './payment/index.ts'
import { restOptionsSchema } from './rest/index.ts'

const netOptionsSchema = z.object({
  /** Addresses at which peers connect (multiaddr). */
  listen: z.array(z.string()).default(['/ip4/0.0.0.0/tcp/11500']),
  /** Addresses to tell others instead of those listened on. */
  announce: z.array(z.string()).default([]),
  /** Peers to start from: multiaddr with `/p2p/...`. */
  bootstrap: z.array(z.string()).default([]),
  /** Find nodes on the local network. */
  mdns: z.boolean().default(false),
})

/** Settings of a daemon, by module. */
export const nodeOptionsSchema = z.object({
  /** Folder of everything that is kept. One daemon for each. */
  dataDir: z.string().min(1),
  /** The local bus socket: `unix:/path` or `tcp://127.0.0.1:port`. Default: `bus.sock` in the data folder, if that is not too deep. */
  busUrl: z.string().optional(),
  /** What a committed step survives: a power cut, or only the death of the process (faster; for test networks). */
  durability: z.enum(['power-cut', 'crash']).default('power-cut'),
  identity: identityOptionsSchema.prefault({}),
  net: netOptionsSchema.prefault({}),
  rest: restOptionsSchema.prefault({}),
  market: marketOptionsSchema.prefault({}),
  /** Also keep other nodes' offers and answer queries over them. */
  offerIndex: offerIndexOptionsSchema.optional(),
  activity: activityOptionsSchema.prefault({}),
  payment: paymentOptionsSchema.prefault({}),
  /** Overrides of payment networks, by Golem's variable names: `HOODI_GETH_ADDR` and so on. */
  paymentNetworks: z.record(z.string(), z.string()).prefault({}),
  /** The payment network when none is named. */
  defaultPaymentNetwork: z.string().optional(),
  /** How long the payment driver gathers due payments into one transaction, ms. */
  paymentGatherMs: z.number().min(0).optional(),
})
export type NodeOptions = z.input<typeof nodeOptionsSchema>

/** Settings of a relay: a node without a trade of its own. */
export const relayOptionsSchema = nodeOptionsSchema.pick({ dataDir: true, identity: true, net: true }).extend({
  offerIndex: offerIndexOptionsSchema.prefault({}),
})
export type RelayOptions = z.input<typeof relayOptionsSchema>
