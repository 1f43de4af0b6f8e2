import { type Clock, type Logger, messageOf } from '@emet/core'
import type { Libp2p, PeerId, PrivateKey } from '@libp2p/interface'
import type { Directory } from './directory.ts'
import { sealRecord } from './record.ts'

/** How often this node's record is renewed at the relays. */
export const RECORD_REFRESH_MS = 10 * 60_000

/** Changes of our addresses within this time are told together. */
const CHANGE_PAUSE_MS = 50

/** Relays that are told where we are. */
export const RELAYS_TOLD_MAX = 16

type PresenceDeps = {
  host: Libp2p
  key: PrivateKey
  clock: Clock
  logger: Logger
  directory: Pick<Directory, 'publish'>
}

/** Keeps the relays informed of where this node is. */
export interface Presence {
  /** A session with a relay is open. */
  addRelay(relay: PeerId): void
  /** The relays that we are connected to. */
  relays(): PeerId[]
  start(): void
  stop(): void
}

export function createPresence({ host, key, clock, logger, directory }: PresenceDeps): Presence {
  const known = new Map<string, PeerId>()
  let lastSequence = 0n
  let cancelChange: (() => void) | undefined
  let cancelRefresh = () => {}

  const relays = () => [...known.values()].filter((relay) => host.getConnections(relay).length > 0)
  const publish = async (to: readonly PeerId[]) => {
    if (to.length === 0) return
    const now = BigInt(clock.nowMs())
    lastSequence = now > lastSequence ? now : lastSequence + 1n
    const sealed = await sealRecord(key, host.peerId, host.getMultiaddrs(), lastSequence)
    for (const relay of to) {
      directory.publish(relay, sealed).catch((error: unknown) => {
        logger.debug('a relay did not take our record', { relay: relay.toString(), error: messageOf(error) })
      })
    }
  }
  const publishSoon = (to: () => readonly PeerId[]) => {
    publish(to()).catch((error: unknown) => logger.warn('cannot seal our record', { error: messageOf(error) }))
  }
  const onAddressChange = () => {
    cancelChange ??= clock.setTimer(CHANGE_PAUSE_MS, () => {
      cancelChange = undefined
      publishSoon(relays)
    })
  }
  const refresh = () => {
    cancelRefresh = clock.setTimer(RECORD_REFRESH_MS, () => {
      publishSoon(relays)
      refresh()
    })
  }
  return {
    relays,
    addRelay: (relay) => {
      const name = relay.toString()
      known.delete(name)
      known.set(name, relay)
      const [oldest] = known.keys()
      if (known.size > RELAYS_TOLD_MAX && oldest) known.delete(oldest)
      publishSoon(() => [relay])
    },
    start: () => {
      host.addEventListener('self:peer:update', onAddressChange)
      refresh()
    },
    stop: () => {
      host.removeEventListener('self:peer:update', onAddressChange)
      cancelChange?.()
      cancelRefresh()
    },
  }
}
