import { systemClock, systemRandom } from '@emet/core'
import { afterEach, describe, expect, it } from 'vitest'
import type { TransportRig } from '../testing.ts'
import { describeTransport } from '../testing.ts'
import type { NetIdentity, Transport } from '../types.ts'
import { createMemoryNetwork, memoryEndpoint } from './index.ts'

function createRig(): TransportRig {
  const network = createMemoryNetwork({ clock: systemClock, random: systemRandom })
  const identities = new Map<Transport, NetIdentity>()
  const idOf = (transport: Transport) => identities.get(transport)!.defaultId
  return {
    create: async (identity, options) => {
      const transport = network.createTransport(identity, options)
      identities.set(transport, identity)
      return transport
    },
    endpointOf: (transport) => memoryEndpoint(idOf(transport)),
    crash: async (transport) => {
      network.crash(idOf(transport))
      await transport.stop()
    },
  }
}

describeTransport('memory', { describe, it, expect, afterEach }, createRig)
