/**
 * One account on one chain: everything that needs its nonces, one transaction in flight at a time. Lanes are independent
 * of each other. A lane is a loop that looks, does what can be done, and sleeps until something is due or it is woken.
 */
import { messageOf } from '@emet/core'
import { ChainError, type Head } from '../../chain/index.ts'
import { type ComposeDeps, type Composer, createComposer } from './compose.ts'
import { createLoop } from './loop.ts'
import { createMints, type Mints } from './mints.ts'
import type { Erc20Network } from './networks.ts'
import type { Erc20Options } from './options.ts'
import { createProgress, type ProgressDeps } from './progress.ts'
import { advanceTransaction, isInFlight, isOver, type Transaction } from './transaction.ts'
import { Trouble } from './trouble.ts'

export type LaneDeps = ComposeDeps &
  ProgressDeps & {
    /** A transaction became final: there are settlements to tell. */
    readonly onFinal: () => void
    readonly onTrouble: () => void
  }

export type LaneAccount = {
  readonly driver: string
  readonly sender: string
  /** All networks that are this chain (a local chain may stand in for several); at least one. */
  readonly networks: readonly [Erc20Network, ...Erc20Network[]]
}

export interface Lane {
  /** Looks at once instead of when next due. */
  wake(): void
  /** Sends what is queued without gathering any longer. */
  flush(): void
  /** Calls `create()` of the network's faucet. Resolves when it is final; rejects when it failed. */
  mint(network: Erc20Network): Promise<void>
  trouble(): Trouble | undefined
  /** Works until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

/** The longest a lane with something open sleeps. */
const SLEEP_MAX_MS = 60_000
/** The shortest pause between two looks at a chain. */
const POLL_MIN_MS = 20

export function createLane(deps: LaneDeps, account: LaneAccount, options: Erc20Options): Lane {
  const composer = createComposer(deps, account, options)
  const mints = createMints()
  let isFlushed = false
  const takeFlush = () => {
    const was = isFlushed
    isFlushed = false
    return was
  }
  const look = createLook(deps, account, options, { composer, mints, takeFlush, keepFlush: () => (isFlushed = true) })
  let trouble: Trouble | undefined
  let failures = 0

  const setTrouble = (next: Trouble | undefined) => {
    const isChanged = trouble?.kind !== next?.kind || trouble?.neededWei !== next?.neededWei
    trouble = next
    if (isChanged) deps.onTrouble()
  }
  const loop = createLoop(deps.clock, async (signal) => {
    try {
      const delayMs = await look(signal)
      failures = 0
      setTrouble(undefined)
      return delayMs
    } catch (error) {
      if (signal.aborted) return undefined
      const found = toTrouble(error)
      if (found.kind !== trouble?.kind) deps.log.warn('payments wait', { reason: found.kind, error: messageOf(error) })
      setTrouble(found)
      return Math.min(options.retryMinMs * 2 ** Math.min(failures++, 30), options.retryMaxMs)
    }
  })

  return {
    wake: loop.wake,
    flush: () => {
      isFlushed = true
      loop.wake()
    },
    mint: (network) => {
      const done = mints.add(network)
      loop.wake()
      return done
    },
    trouble: () => trouble,
    run: async (signal) => {
      await loop.run(signal)
      mints.rejectAll(signal.reason)
    },
  }
}

type Work = {
  readonly composer: Composer
  readonly mints: Mints
  /** Was a flush asked for since the last time? */
  readonly takeFlush: () => boolean
  readonly keepFlush: () => void
}

/** One look at the chain: drives what is open, starts what is due, and says how long to sleep. */
function createLook(deps: LaneDeps, { sender, networks }: LaneAccount, options: Erc20Options, work: Work) {
  const { store, chain, clock } = deps
  const { composer, mints } = work
  const [network] = networks
  const progress = createProgress(deps, networks, options)
  const pollMs = Math.max(options.pollMs ?? network.blockTimeMs / 3, POLL_MIN_MS)

  /** Does with a transaction all that can be done now. */
  const drive = async (start: Transaction, head: Head, signal: AbortSignal): Promise<Transaction> => {
    let transaction = start
    for (;;) {
      const event = await progress.next(transaction, head, signal)
      if (!event) return transaction
      transaction = advanceTransaction(transaction, event)
      store.save(transaction)
      const { id, nonce, purpose, state } = transaction
      deps.log.debug('transaction moved', { id, nonce, purpose, state: state.kind })
      if (event.kind === 'confirm') deps.onFinal()
      mints.moved(transaction)
    }
  }
  const compose = async (signal: AbortSignal) => {
    const isFlush = work.takeFlush()
    // The flush lasts until nothing is left to send.
    if (isFlush) work.keepFlush()
    const made = (await mints.compose(composer, signal)) ?? (await composer.payment(isFlush, signal))
    if (isFlush && !made) work.takeFlush()
    return made
  }
  const startNext = async (signal: AbortSignal): Promise<Transaction | undefined> => {
    const made = await compose(signal)
    if (!made) return undefined
    const transaction = store.assign(made)
    if (made.purpose === 'mint') mints.assigned(transaction)
    return transaction
  }
  const sleepMs = (open: readonly Transaction[], head: Head): number | undefined => {
    if (open.some(isInFlight)) return pollMs
    const times = open.flatMap(({ state }) => {
      if (state.kind !== 'final') return []
      const blocks = state.inclusion.blockNumber + network.finalDepth - 1 - head.number
      return [Math.max(blocks * network.blockTimeMs, pollMs)]
    })
    const sendMs = composer.nextSendMs()
    if (sendMs !== undefined) times.push(Math.max(sendMs - clock.nowMs(), POLL_MIN_MS))
    return times.length > 0 ? Math.min(...times, SLEEP_MAX_MS) : undefined
  }

  return async (signal: AbortSignal): Promise<number | undefined> => {
    const open = store.open(network.chainId, sender)
    if (open.length === 0 && mints.length === 0 && composer.nextSendMs() === undefined) return undefined
    const head = await chain.head({ signal })
    const seen: Transaction[] = []
    for (const transaction of open) seen.push(await drive(transaction, head, signal))
    while (!seen.some(isInFlight)) {
      const next = await startNext(signal)
      if (!next) break
      seen.push(await drive(next, await chain.head({ signal }), signal))
    }
    const left = seen.filter((transaction) => !isOver(transaction))
    return sleepMs(left, head)
  }
}

function toTrouble(error: unknown): Trouble {
  if (error instanceof Trouble) return error
  const kind = error instanceof ChainError && error.code === 'wrong-chain' ? 'wrong-chain' : 'rpc'
  return new Trouble(kind, messageOf(error), 0n, { cause: error })
}
