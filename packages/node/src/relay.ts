/** A relay: lets newcomers find others, forwards for those that cannot be reached, and keeps an index of offers. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createBus } from '@emet/bus'
import type { NodeId } from '@emet/core'
import { createNet } from '@emet/net'
import { createLibp2pTransport } from '@emet/net/libp2p'
import { createIdentity, createIdentityStore } from './identity/index.ts'
import { createOfferIndex } from './market/index.ts'
import { netIdentity } from './net/index.ts'
import type { NodePorts } from './node.ts'
import { type RelayOptions, relayOptionsSchema } from './options.ts'
import { startAll, started } from './start-all.ts'
import { openDatabase } from './store/index.ts'

export interface Relay {
  readonly nodeId: NodeId
  readonly endpoints: readonly string[]
  stop(): Promise<void>
}

export async function startRelay(ports: NodePorts, given: RelayOptions): Promise<Relay> {
  const options = relayOptionsSchema.parse(given)
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 })
  const db = openDatabase({ path: join(options.dataDir, 'relay.db') })
  const identity = createIdentity({ store: createIdentityStore(db), ...ports }, options.identity)
  // The keys come first: everything else asks who we are as it is made.
  await identity.start()
  const bus = createBus(ports)
  const keys = netIdentity(identity)
  const transport = createLibp2pTransport(
    { identity: keys, ...ports },
    { ...options.net, roles: ['relay', 'index'], relayServer: true },
  )
  const net = createNet({ transports: [transport], bus, identity: keys, ...ports })
  const offerIndex = createOfferIndex({ bus, signer: identity, ...ports }, options.offerIndex)
  const parts = [started(async () => db.close()), started(identity.stop), net, offerIndex]
  const stop = await startAll(parts, ports.logger)
  const { endpoints } = net.status()
  ports.logger.info('the relay is ready', { nodeId: identity.defaultId, endpoints })
  return { nodeId: identity.defaultId, endpoints, stop }
}
