import type { Unregister } from '@emet/core'
import { BusError } from './errors.ts'
import type { Forwarder } from './types.ts'

/** The longest address, in UTF-16 units. Golem's longest are about 200. */
export const ADDRESS_LENGTH_MAX = 1_024
/** Addresses and prefixes that may be bound at one time. Attached processes can add to them. */
export const BINDINGS_MAX = 20_000

/** Who is bound where: exact addresses, and prefixes of whole components. */
export type RoutingTable = {
  bindExact(address: string, forward: Forwarder): Unregister
  bindPrefix(prefix: string, forward: Forwarder): Unregister
  /** The exact address, or else the longest bound prefix. Throws `BusError` `no-endpoint`. */
  find(address: string): Forwarder
}

/** An empty table. */
export function createRoutingTable(): RoutingTable {
  const exact = new Map<string, Forwarder>()
  const prefixes = new Map<string, Forwarder>()

  const bindIn = (table: Map<string, Forwarder>, address: string, forward: Forwarder): Unregister => {
    checkAddress(address)
    if (table.has(address)) {
      throw new BusError('address-taken', `${address} is already bound; unbind it first`, { address })
    }
    if (exact.size + prefixes.size >= BINDINGS_MAX) {
      throw new BusError('overloaded', `more than ${BINDINGS_MAX} addresses are bound; end some services`, { address })
    }
    table.set(address, forward)
    return () => {
      if (table.get(address) === forward) table.delete(address)
    }
  }
  const findPrefix = (address: string): Forwarder | undefined => {
    for (let end = address.length; end > 0; end = address.lastIndexOf('/', end - 1)) {
      const forward = prefixes.get(address.slice(0, end))
      if (forward) return forward
    }
    return prefixes.get('/')
  }
  return {
    bindExact: (address, forward) => bindIn(exact, address, forward),
    bindPrefix: (prefix, forward) => bindIn(prefixes, prefix, forward),
    find: (address) => {
      checkAddress(address)
      const forward = exact.get(address) ?? findPrefix(address)
      if (forward) return forward
      throw new BusError('no-endpoint', `${address}: endpoint address not found`, { address })
    },
  }
}

function checkAddress(address: string): void {
  if (address.startsWith('/') && address.length <= ADDRESS_LENGTH_MAX) return
  const shown = address.slice(0, 100)
  const message = `not an address: ${JSON.stringify(shown)}; it must begin with / and have at most ${ADDRESS_LENGTH_MAX} characters`
  throw new BusError('bad-request', message, { address: shown })
}
