/**
 * A chain in memory, for tests of state machines. It takes real signed transactions, knows one token and one multi-pay
 * contract, mines when told to, and can do what chains do to payers: drop transactions, reorganise, raise fees, answer
 * wrongly or not at all.
 */
import { parseTransaction, recoverTransactionAddress } from 'viem'
import { MULTI_PAY_SELECTOR, type Payout, TRANSFER_TOPIC } from './calls.ts'
import { ChainError } from './errors.ts'
import type { Chain, ChainLog, Head, Hex, Receipt, SendOutcome } from './types.ts'

export type FakeChainOptions = {
  readonly chainId: number
  readonly token: string
  readonly multiPay: string
  /** A block for each transaction at once. Default: only `mine()` mines. */
  readonly automine?: boolean
}

export interface FakeChain extends Chain {
  credit(address: string, tokenWei: bigint, gasWei?: bigint): void
  balanceOf(address: string): bigint
  /** A block with all waiting transactions that pay the base fee, or with none. */
  mine(blocks?: number): void
  /** Undoes the last blocks; their transactions wait again, or are forgotten. */
  reorganise(blocks: number, transactions: 'wait' | 'forget'): void
  /** Forgets waiting transactions. */
  dropWaiting(): void
  setBaseFee(wei: bigint): void
  /** Makes the account's next nonce used, by a transaction that does nothing of interest. */
  spendNonce(address: string): void
  /** As when that was undone. */
  unspendNonce(address: string): void
  /** From now on a transfer to this address is reverted. */
  refusePayee(address: string): void
  readonly waiting: number
  readonly height: number
  /** Every transaction ever mined, undone ones included. */
  readonly minedEver: readonly Hex[]
}

type Waiting = {
  hash: Hex
  from: string
  nonce: number
  to: string
  data: Hex
  gas: bigint
  maxFee: bigint
  tip: bigint
}
type State = {
  tokens: Map<string, bigint>
  gas: Map<string, bigint>
  nonces: Map<string, number>
  allowed: Set<string>
}
type Block = { head: Head; receipts: Receipt[]; transactions: Waiting[]; before: State }

export function createFakeChain(options: FakeChainOptions): FakeChain {
  let state: State = { tokens: new Map(), gas: new Map(), nonces: new Map(), allowed: new Set() }
  let waiting: Waiting[] = []
  const blocks: Block[] = []
  const minedEver: Hex[] = []
  const refused = new Set<string>()
  let baseFee = 10n ** 9n
  let fork = 0

  const get = <T>(map: Map<string, T>, key: string, none: T): T => map.get(key) ?? none
  const copy = (s: State): State => ({
    tokens: new Map(s.tokens),
    gas: new Map(s.gas),
    nonces: new Map(s.nonces),
    allowed: new Set(s.allowed),
  })
  const hashOf = (number: number): Hex =>
    `0x${fork.toString(16).padStart(32, '0')}${number.toString(16).padStart(32, '0')}`
  const head = (): Head => blocks.at(-1)?.head ?? { number: 0, hash: hashOf(0), timeMs: 0 }

  const payoutsOf = (call: { to: string; data: string }): Payout[] | undefined => {
    const { to, data } = call
    if (to === options.token && data.startsWith('0xa9059cbb')) {
      return [{ payee: `0x${data.slice(34, 74)}`, amountWei: BigInt(`0x${data.slice(74, 138)}`) }]
    }
    if (to !== options.multiPay || !data.startsWith(`0x${MULTI_PAY_SELECTOR}`)) return undefined
    const items = data.slice(138).match(/.{64}/g) ?? []
    return items.map((item) => ({ payee: `0x${item.slice(0, 40)}`, amountWei: BigInt(`0x${item.slice(40)}`) }))
  }
  /** The logs of a call, applied to the state; undefined when it is reverted, and nothing was applied. */
  const execute = (call: { from: string; to: string; data: string }): ChainLog[] | undefined => {
    if (call.to === options.token && call.data.startsWith('0x095ea7b3')) {
      state.allowed.add(call.from)
      return []
    }
    const payouts = payoutsOf(call)
    if (!payouts) return []
    const total = payouts.reduce((sum, payout) => sum + payout.amountWei, 0n)
    if (call.to === options.multiPay && !state.allowed.has(call.from)) return undefined
    if (get(state.tokens, call.from, 0n) < total || payouts.some(({ payee }) => refused.has(payee))) return undefined
    return payouts.map(({ payee, amountWei }, logIndex) => {
      state.tokens.set(call.from, get(state.tokens, call.from, 0n) - amountWei)
      state.tokens.set(payee, get(state.tokens, payee, 0n) + amountWei)
      const word = (text: string): Hex => `0x${text.padStart(64, '0')}`
      const topics = [TRANSFER_TOPIC, word(call.from.slice(2)), word(payee.slice(2))]
      return { address: options.token, topics, data: word(amountWei.toString(16)), logIndex }
    })
  }
  const mineOne = () => {
    const number = head().number + 1
    const blockHash = hashOf(number)
    const before = copy(state)
    const transactions: Waiting[] = []
    const receipts: Receipt[] = []
    for (;;) {
      const next = waiting.find((tx) => tx.nonce === get(state.nonces, tx.from, 0) && tx.maxFee >= baseFee)
      if (!next) break
      waiting = waiting.filter((tx) => tx !== next)
      state.nonces.set(next.from, next.nonce + 1)
      const logs = execute(next)
      const gasPriceWei = baseFee + next.tip < next.maxFee ? baseFee + next.tip : next.maxFee
      const gasUsed = next.gas / 2n
      state.gas.set(next.from, get(state.gas, next.from, 0n) - gasUsed * gasPriceWei)
      const { hash, from, to } = next
      const isSuccess = logs !== undefined
      receipts.push({
        hash,
        from,
        to,
        isSuccess,
        blockNumber: number,
        blockHash,
        gasUsed,
        gasPriceWei,
        logs: logs ?? [],
      })
      transactions.push(next)
      minedEver.push(hash)
    }
    waiting = waiting.filter((tx) => tx.nonce >= get(state.nonces, tx.from, 0))
    blocks.push({ head: { number, hash: blockHash, timeMs: number * 1000 }, receipts, transactions, before })
  }
  const receive = (tx: Waiting): SendOutcome => {
    if (waiting.some((other) => other.hash === tx.hash)) return 'accepted'
    if (tx.nonce < get(state.nonces, tx.from, 0)) return 'nonce-used'
    if (get(state.gas, tx.from, 0n) < tx.gas * tx.maxFee) return 'insufficient-gas'
    const rival = waiting.find((other) => other.from === tx.from && other.nonce === tx.nonce)
    // What the common nodes ask of a replacement: a tenth more of both fees.
    if (rival && (tx.maxFee * 10n < rival.maxFee * 11n || tx.tip * 10n < rival.tip * 11n)) return 'underpriced'
    waiting = [...waiting.filter((other) => other !== rival), tx]
    if (options.automine) mineOne()
    return 'accepted'
  }

  return {
    chainId: options.chainId,
    head: async () => head(),
    blockAt: async (number) => blocks.find((block) => block.head.number === number)?.head,
    gasBalance: async (address) => get(state.gas, address, 0n),
    tokenBalance: async (_token, address) => get(state.tokens, address, 0n),
    allowance: async (_token, owner) => (state.allowed.has(owner) ? 2n ** 256n - 1n : 0n),
    nonce: async (address, at) => {
      if (typeof at === 'number') {
        const next = blocks.find((block) => block.head.number === at + 1)
        return get((next?.before ?? state).nonces, address, 0)
      }
      const mined = get(state.nonces, address, 0)
      const own = waiting.filter((tx) => tx.from === address).map((tx) => tx.nonce + 1)
      return at === 'pending' ? Math.max(mined, ...own) : mined
    },
    feeMarket: async () => ({ baseFeeWei: baseFee, priorityFeeWei: 10n }),
    estimateGas: async (call) => {
      const kept = copy(state)
      const logs = execute(call)
      state = kept
      if (!logs) throw new ChainError('reverted', 'the transaction would fail')
      return 21_000n + 30_000n * BigInt(Math.max(logs.length, 1))
    },
    send: async (raw) => {
      const tx = parseTransaction(raw)
      const { keccak256 } = await import('viem/utils')
      const from = (await recoverTransactionAddress({ serializedTransaction: raw as never })).toLowerCase()
      if (tx.chainId !== options.chainId) throw new ChainError('refused', 'invalid chain id')
      const fees = { maxFee: tx.maxFeePerGas ?? 0n, tip: tx.maxPriorityFeePerGas ?? 0n, gas: tx.gas ?? 0n }
      const to = (tx.to ?? '').toLowerCase()
      return receive({ hash: keccak256(raw), from, nonce: tx.nonce ?? 0, to, data: tx.data ?? '0x', ...fees })
    },
    receipt: async (hash) => blocks.flatMap((block) => block.receipts).find((receipt) => receipt.hash === hash),
    credit: (address, tokenWei, gasWei = 10n ** 18n) => {
      state.tokens.set(address, get(state.tokens, address, 0n) + tokenWei)
      state.gas.set(address, get(state.gas, address, 0n) + gasWei)
    },
    balanceOf: (address) => get(state.tokens, address, 0n),
    mine: (count = 1) => {
      for (let i = 0; i < count; i++) mineOne()
    },
    reorganise: (count, transactions) => {
      fork++
      for (const block of blocks.splice(blocks.length - count).reverse()) {
        state = block.before
        if (transactions === 'wait') waiting = [...block.transactions, ...waiting]
      }
    },
    dropWaiting: () => {
      waiting = []
    },
    setBaseFee: (wei) => {
      baseFee = wei
    },
    spendNonce: (address) => void state.nonces.set(address, get(state.nonces, address, 0) + 1),
    unspendNonce: (address) => void state.nonces.set(address, get(state.nonces, address, 0) - 1),
    refusePayee: (address) => void refused.add(address),
    get waiting() {
      return waiting.length
    },
    get height() {
      return head().number
    },
    minedEver,
  }
}
