import { encodeCreate } from '../../chain/index.ts'
import { DriverError } from '../errors.ts'
import type { Composer } from './compose.ts'
import type { Erc20Network } from './networks.ts'
import type { NewTransaction } from './store.ts'
import type { Transaction } from './transaction.ts'

/** Calls of faucets that somebody waits for. They are kept in memory only: whoever waited is gone after a crash. */
export interface Mints {
  readonly length: number
  add(network: Erc20Network): Promise<void>
  /** The transaction of the next one. When it cannot be made, whoever waits hears why. */
  compose(composer: Composer, signal: AbortSignal): Promise<NewTransaction | undefined>
  /** `transaction` is the one composed last. */
  assigned(transaction: Transaction): void
  moved(transaction: Transaction): void
  rejectAll(reason: unknown): void
}

type Mint = { network: Erc20Network; transactionId?: number; resolve: () => void; reject: (error: unknown) => void }

/** People do not wait for more faucet calls of one account at once. */
const MINTS_MAX = 8

export function createMints(): Mints {
  const mints: Mint[] = []
  const next = () => mints.find((mint) => mint.transactionId === undefined)
  const remove = (mint: Mint) => mints.splice(mints.indexOf(mint), 1)
  return {
    get length() {
      return mints.length
    },
    add: (network) =>
      new Promise((resolve, reject) => {
        if (mints.length < MINTS_MAX) mints.push({ network, resolve, reject })
        else reject(new DriverError('bad-request', `the faucet of ${network.name} is being asked already`))
      }),
    compose: async (composer, signal) => {
      const mint = next()
      if (!mint?.network.faucet) return undefined
      try {
        const call = { purpose: 'mint', to: mint.network.faucet, data: encodeCreate(), items: [] } as const
        return await composer.call(mint.network, call, signal)
      } catch (error) {
        remove(mint)
        mint.reject(error)
        return undefined
      }
    },
    assigned: ({ id }) => {
      const mint = next()
      if (mint) mint.transactionId = id
    },
    moved: ({ id, state }) => {
      const mint = mints.find((candidate) => candidate.transactionId === id)
      if (!mint || !['final', 'sealed', 'failed', 'replaced'].includes(state.kind)) return
      remove(mint)
      if (state.kind === 'final' || state.kind === 'sealed') mint.resolve()
      else mint.reject(new DriverError('faucet-failed', 'the faucet contract refused'))
    },
    rejectAll: (reason) => {
      for (const mint of mints.splice(0)) mint.reject(reason)
    },
  }
}
