import { silentLogger, systemClock, systemRandom } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import { describeTransport, type TransportRig } from '../testing.ts'
import type { NetIdentity, Transport } from '../types.ts'
import { createLibp2pTransport, type Libp2pOptions } from './index.ts'

const deps = (identity: NetIdentity) => ({ identity, clock: systemClock, random: systemRandom, logger: silentLogger })

function createRig(): TransportRig {
  const listens = new Map<string, string>()
  const endpoints = new Map<Transport, string>()
  const endpointOf = (transport: Transport) =>
    transport.endpoints().find((endpoint) => !endpoint.includes('p2p-circuit')) ?? endpoints.get(transport)!
  const optionsFor = (identity: NetIdentity, options: object): Libp2pOptions => ({
    listen: [listens.get(identity.defaultId) ?? '/ip4/127.0.0.1/tcp/0'],
    connectionsPerHostPerSecondMax: 1000,
    ...options,
  })
  return {
    create: async (identity, options = {}) => {
      const relayServer = options.roles?.includes('relay') ?? false
      const transport = createLibp2pTransport(deps(identity), optionsFor(identity, { ...options, relayServer }))
      const start = transport.start
      transport.start = async () => {
        await start()
        const endpoint = endpointOf(transport)
        endpoints.set(transport, endpoint)
        // The same identity started again listens on the same port.
        listens.set(identity.defaultId, endpoint.replace(/\/p2p\/.*/, ''))
      }
      return transport
    },
    endpointOf,
    crash: (transport) => transport.stop(),
  }
}

describeTransport('libp2p', { describe, it, expect, afterEach }, createRig)
