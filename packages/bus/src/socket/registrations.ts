import type { Clock, Logger, Unregister } from '@emet/core'
import { BusError } from '../errors.ts'
import { type Packet, RouterCode } from '../gsb/packet.ts'
import { RECONNECT_DELAY_MAX_MS, RECONNECT_DELAY_MIN_MS } from './limits.ts'
import type { Link } from './link.ts'

type Kind = 'service' | 'topic'
type Entry = {
  readonly kind: Kind
  readonly name: string
  state: 'waiting' | 'asked' | 'known' | 'refused'
  /** It was known once: a conflict now means that the daemon has not yet noticed the end of the old connection. */
  wasKnown: boolean
  retryDelayMs: number
  error?: BusError
}

/** What a process has registered with the daemon, to be registered again after each reconnect. */
export type Registrations = {
  /** Registers, now or when the connection stands. The same name may be added several times. */
  add(kind: Kind, name: string): Unregister
  /** The connection stands: registers everything. */
  attach(link: Link): void
  detach(): void
  reply(packet: Packet & { kind: 'register-reply' | 'subscribe-reply' }): void
  /** Resolves when everything is known to the daemon; throws what it has refused. */
  settled(): Promise<void>
  close(): void
}

/** An empty set of registrations. */
export function createRegistrations(deps: { readonly clock: Clock; readonly logger: Logger }): Registrations {
  const entries = new Map<string, { entry: Entry; uses: number }>()
  // GSB's replies carry no names: they come in the order of the requests.
  let asked: Record<Kind, Entry[]> = { service: [], topic: [] }
  let link: Link | undefined
  let isClosed = false
  let waiting: (() => void)[] = []

  const wakeWaiting = () => {
    const wake = waiting
    waiting = []
    for (const resolve of wake) resolve()
  }
  const ask = (entry: Entry): void => {
    if (!link) return
    entry.state = 'asked'
    asked[entry.kind].push(entry)
    link.send(requestFor(entry)).catch(() => {})
  }
  const askLater = (entry: Entry): void => {
    entry.state = 'waiting'
    deps.clock.setTimer(entry.retryDelayMs, () => {
      if (entry.state === 'waiting' && entries.get(keyOf(entry))?.entry === entry) ask(entry)
    })
    entry.retryDelayMs = Math.min(entry.retryDelayMs * 2, RECONNECT_DELAY_MAX_MS)
  }
  const reply: Registrations['reply'] = (packet) => {
    const entry = asked[packet.kind === 'register-reply' ? 'service' : 'topic'].shift()
    if (entry?.state !== 'asked') return
    if (packet.code === RouterCode.ok) {
      entry.state = 'known'
      entry.wasKnown = true
      entry.retryDelayMs = RECONNECT_DELAY_MIN_MS
    } else if (packet.code === RouterCode.conflict && entry.wasKnown) askLater(entry)
    else {
      refuse(entry, packet.code, packet.message)
      deps.logger.error('the daemon has refused a registration', { name: entry.name, message: packet.message })
    }
    wakeWaiting()
  }
  const remove = (key: string): void => {
    const held = entries.get(key)
    if (!held || --held.uses > 0) return
    entries.delete(key)
    if (held.entry.state !== 'waiting') link?.send(withdrawalOf(held.entry)).catch(() => {})
    wakeWaiting()
  }
  const add = (kind: Kind, name: string): Unregister => {
    const fresh: Entry = { kind, name, state: 'waiting', wasKnown: false, retryDelayMs: RECONNECT_DELAY_MIN_MS }
    const key = keyOf(fresh)
    const held = entries.get(key)
    if (held) held.uses++
    else {
      entries.set(key, { entry: fresh, uses: 1 })
      ask(fresh)
    }
    let isRemoved = false
    return () => {
      if (!isRemoved) remove(key)
      isRemoved = true
    }
  }
  const settled = async (): Promise<void> => {
    for (;;) {
      if (isClosed) throw new BusError('closed', 'the bus is closed')
      const all = [...entries.values()].map(({ entry }) => entry)
      const bad = all.find((entry) => entry.error)
      if (bad?.error) throw bad.error
      if (all.every((entry) => entry.state === 'known')) return
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  return {
    add,
    attach: (next) => {
      link = next
      asked = { service: [], topic: [] }
      for (const { entry } of entries.values()) ask(entry)
    },
    detach: () => {
      link = undefined
      for (const { entry } of entries.values()) entry.state = 'waiting'
    },
    reply,
    settled,
    close: () => {
      isClosed = true
      wakeWaiting()
    },
  }
}

function refuse(entry: Entry, code: number, message: string): void {
  entry.state = 'refused'
  entry.error = new BusError(code === RouterCode.conflict ? 'address-taken' : 'bad-request', message)
}

function requestFor({ kind, name }: Entry): Packet {
  return kind === 'service' ? { kind: 'register-request', serviceId: name } : { kind: 'subscribe-request', topic: name }
}

function withdrawalOf({ kind, name }: Entry): Packet {
  if (kind === 'service') return { kind: 'unregister-request', serviceId: name }
  return { kind: 'unsubscribe-request', topic: name }
}

function keyOf(entry: { kind: Kind; name: string }): string {
  return `${entry.kind} ${entry.name}`
}
