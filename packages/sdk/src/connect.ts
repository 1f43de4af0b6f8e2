import { createClient } from '@emet/api'
import { type AbortOptions, type Logger, silentLogger, systemClock, systemRandom } from '@emet/core'
import { golemErrorOf } from './daemon-errors.ts'
import { createEventHub } from './events.ts'
import { createSession } from './session.ts'
import type { Session } from './types.ts'

/** Where a daemon listens when nobody says otherwise. */
export const DEFAULT_DAEMON_URL = 'http://127.0.0.1:7465'

export type ConnectOptions = AbortOptions & {
  /** Default `DEFAULT_DAEMON_URL`. */
  readonly url?: string
  readonly appKey: string
  /** Part of the market that offers and demands meet in. Default `public`. */
  readonly subnet?: string
  /** The payment network, such as `hoodi`. Default: the daemon's. */
  readonly network?: string
  readonly fetch?: typeof globalThis.fetch
  readonly log?: Logger
}

/**
 * Connects to a daemon. When `signal` aborts, the session and all its rentals end.
 *
 *     await using golem = await connect({ appKey })
 *     await using machine = await golem.rent({ payload: { bytes: wasm } }, { budget: { max: '0.5' } })
 *     for await (const line of machine.run('main', ['--lines', '3'])) show(line)
 *
 * Throws `GolemError` when the daemon does not answer or does not take the app key.
 */
export async function connect(options: ConnectOptions): Promise<Session> {
  const { url = DEFAULT_DAEMON_URL, appKey, subnet = 'public', network, signal, fetch } = options
  const log = options.log ?? silentLogger
  const client = createClient({ url, appKey, ...(fetch ? { fetch } : {}) })
  const deps = { client, clock: systemClock, random: systemRandom, log, hub: createEventHub(log) }
  const me = await client.root.getMe({ signal }).catch((error) => {
    throw golemErrorOf(error, 'connect', { signal })
  })
  return createSession(deps, { nodeId: me.identity, subnet, network, signal })
}
