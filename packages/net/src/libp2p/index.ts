/**
 * The libp2p transport: TCP, Noise with the default identity's key, Yamux. Nodes that cannot be reached take a place at
 * a relay; relays keep a directory of who is where. A relay is a node with `relayServer` and the role `relay`:
 *
 *     createLibp2pTransport(deps, { roles: ['relay', 'index'], relayServer: true, listen: ['/ip4/0.0.0.0/tcp/4001'] })
 */
import type { Clock, Logger, Random } from '@emet/core'
import { createSessionTransport } from '../session/transport.ts'
import type { NetIdentity, Transport } from '../types.ts'
import { connectionsMax } from './host.ts'
import type { Libp2pOptions } from './options.ts'
import { createLibp2pWire } from './wire.ts'

export { type ErrorSource, guardStrayErrors, isStrayStreamError } from './guard.ts'
export type { Libp2pOptions } from './options.ts'

export type Libp2pDeps = { identity: NetIdentity; clock: Clock; random: Random; logger: Logger }

/** A transport over libp2p. Nothing runs, and no key is read, before `start`. */
export function createLibp2pTransport(deps: Libp2pDeps, options: Libp2pOptions = {}): Transport {
  const wire = createLibp2pWire(deps, options)
  return createSessionTransport({ ...deps, wire }, { peersMax: connectionsMax(options), ...options })
}
