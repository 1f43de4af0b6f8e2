/**
 * One account on one chain: everything that needs its nonces, one transaction in flight at a time. Lanes are independent
 * of each other. A lane is a loop that looks, does what can be done, and sleeps until something is due or it is woken.
 */
import { messageOf } from '@emet/core'
import { ChainError, encodeCreate, type Head } from '../../chain/index.ts'
import { type ComposeDeps, createComposer } from './compose.ts'
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

type Mint = { network: Erc20Network; transactionId?: number; resolve: () => void; reject: (error: unknown) => void }

export function createLane(deps: LaneDeps, account: LaneAccount, options: Erc20Options): Lane {
  const { store, chain, clock } = deps
  const [network] = account.networks
  const composer = createComposer(deps, account, options)
  const progress = createProgress(deps, account.networks, options)
  const pollMs = Math.max(options.pollMs ?? network.blockTimeMs / 3, POLL_MIN_MS)
  const mints: Mint[] = []
  let trouble: Trouble | undefined
  let failures = 0
  let isFlushed = false
  let isAwake = false
  let interrupt: (() => void) | undefined

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
      finishMint(transaction)
    }
  }
  const finishMint = ({ id, state }: Transaction) => {
    const mint = mints.find((candidate) => candidate.transactionId === id)
    if (!mint || !['final', 'sealed', 'failed', 'replaced'].includes(state.kind)) return
    mints.splice(mints.indexOf(mint), 1)
    if (state.kind === 'final' || state.kind === 'sealed') mint.resolve()
    else mint.reject(new Trouble('stuck', 'the faucet refused to hand out tokens'))
  }

  const compose = async (signal: AbortSignal) => {
    const mint = mints.find((candidate) => candidate.transactionId === undefined)
    if (!mint?.network.faucet) {
      const flushed = isFlushed
      const made = await composer.payment(flushed, signal)
      if (flushed && !made) isFlushed = false
      return made
    }
    const call = { purpose: 'mint', to: mint.network.faucet, data: encodeCreate(), items: [] } as const
    try {
      return await composer.call(mint.network, call, signal)
    } catch (error) {
      mints.splice(mints.indexOf(mint), 1)
      mint.reject(error)
      return undefined
    }
  }
  const startNext = async (signal: AbortSignal): Promise<Transaction | undefined> => {
    const made = await compose(signal)
    if (!made) return undefined
    const transaction = store.assign(made)
    const mint = mints.find((candidate) => candidate.transactionId === undefined)
    if (mint && made.purpose === 'mint') mint.transactionId = transaction.id
    return transaction
  }

  /** One look. Returns how long to sleep; undefined: until woken. */
  const look = async (signal: AbortSignal): Promise<number | undefined> => {
    const open = store.open(network.chainId, account.sender)
    if (open.length === 0 && mints.length === 0 && composer.nextSendMs() === undefined) return undefined
    const head = await chain.head({ signal })
    const seen: Transaction[] = []
    for (const transaction of open) seen.push(await drive(transaction, head, signal))
    while (!seen.some(isInFlight)) {
      const next = await startNext(signal)
      if (!next) break
      seen.push(await drive(next, await chain.head({ signal }), signal))
    }
    return sleepMs(
      seen.filter((transaction) => !isOver(transaction)),
      head,
    )
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

  const setTrouble = (next: Trouble | undefined) => {
    const isChanged = trouble?.kind !== next?.kind || trouble?.neededWei !== next?.neededWei
    trouble = next
    if (isChanged) deps.onTrouble()
  }
  const lookSafely = async (signal: AbortSignal): Promise<number | undefined> => {
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
  }
  const sleep = (delayMs: number | undefined, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const end = () => {
        cancel?.()
        signal.removeEventListener('abort', end)
        interrupt = undefined
        resolve()
      }
      if (isAwake || signal.aborted) return resolve()
      interrupt = end
      const cancel = delayMs === undefined ? undefined : clock.setTimer(delayMs, end)
      signal.addEventListener('abort', end, { once: true })
    })
  const wake = () => {
    isAwake = true
    interrupt?.()
  }

  return {
    wake,
    flush: () => {
      isFlushed = true
      wake()
    },
    mint: (faucetNetwork) =>
      new Promise((resolve, reject) => {
        mints.push({ network: faucetNetwork, resolve, reject })
        wake()
      }),
    trouble: () => trouble,
    run: async (signal) => {
      while (!signal.aborted) {
        isAwake = false
        const delayMs = await lookSafely(signal)
        await sleep(delayMs, signal)
      }
      for (const mint of mints.splice(0)) mint.reject(signal.reason)
    },
  }
}

function toTrouble(error: unknown): Trouble {
  if (error instanceof Trouble) return error
  const kind = error instanceof ChainError && error.code === 'wrong-chain' ? 'wrong-chain' : 'rpc'
  return new Trouble(kind, messageOf(error), 0n, { cause: error })
}
