/** What happens next to a transaction that exists: looks at the chain, and says which event has occurred. */
import { type Clock, type Logger, messageOf, type NodeId } from '@emet/core'
import { type Chain, type Head, parseTransfer, type Receipt, signTransaction } from '../../chain/index.ts'
import { bumpFees, chooseFees, type Fees } from './fees.ts'
import type { Erc20Network } from './networks.ts'
import type { Erc20Options } from './options.ts'
import { type Attempt, attemptsOf, type Inclusion, type Transaction, type TransactionEvent } from './transaction.ts'
import { Trouble } from './trouble.ts'

export type ProgressDeps = {
  readonly chain: Chain
  readonly clock: Clock
  readonly log: Logger
  /** 32 bytes. Throws while the identity is locked. */
  readonly privateKey: (sender: NodeId) => Uint8Array
}

export type Progress = {
  /** The event that is due, if any. Throws `Trouble` and `ChainError`. */
  next(transaction: Transaction, head: Head, signal: AbortSignal): Promise<TransactionEvent | undefined>
}

/** Signed forms of one transaction. With an eighth more each time, the fee cap is reached long before. */
const ATTEMPTS_MAX = 50

export function createProgress(
  deps: ProgressDeps,
  networks: readonly [Erc20Network, ...Erc20Network[]],
  options: Pick<Erc20Options, 'stuckMs' | 'replacedMs'>,
): Progress {
  const { chain, clock } = deps
  const [network] = networks
  const inclusionOf = (t: Transaction, receipt: Receipt) =>
    toInclusion(t, receipt, networks.find((candidate) => candidate.name === t.network) ?? network)
  /** When we last handed bytes over. Forgotten at a restart, so that everything in flight is sent once more. */
  const sentMs = new Map<number, number>()
  /** Since when somebody else seems to have used a transaction's nonce. */
  const suspectMs = new Map<number, number>()

  const sign = async (t: Transaction, fees: Fees): Promise<TransactionEvent> => {
    const { chainId, nonce, to, data, gasLimit } = t
    const signed = await signTransaction({ chainId, nonce, to, data, gasLimit, ...fees }, keyOf(deps, t.sender))
    return { kind: 'sign', attempt: { ...signed, ...fees, signedMs: clock.nowMs() } }
  }

  const afterAssigned = async (t: Transaction, signal: AbortSignal): Promise<TransactionEvent> => {
    const nonce = await chain.nonce(t.sender, 'latest', { signal })
    // Nothing was signed with the old nonce yet: taking another is safe.
    if (nonce > t.nonce) return { kind: 'reassign', nonce }
    const fees = chooseFees(await chain.feeMarket({ signal }), network)
    if (!fees) throw new Trouble('stuck', `gas on ${network.name} costs more than the cap; waiting for it to fall`)
    return sign(t, fees)
  }

  const handOver = async (t: Transaction, attempt: Attempt, signal: AbortSignal): Promise<void> => {
    const outcome = await chain.send(attempt.raw, { signal })
    sentMs.set(t.id, clock.monotonicMs())
    if (outcome !== 'insufficient-gas') return
    const missing = t.gasLimit * attempt.maxFeeWei - (await chain.gasBalance(t.sender, { signal }))
    throw new Trouble('gas', `${t.sender} has too little for the fee`, missing > 0n ? missing : 0n)
  }

  const findReceipt = async (t: Transaction, signal: AbortSignal, everywhere = false) => {
    for (const attempt of attemptsOf(t.state).toReversed()) {
      const receipt = await chain.receipt(attempt.hash, { signal, everywhere })
      if (receipt) return receipt
    }
    return undefined
  }

  /** The nonce is used up and no attempt of ours has a receipt: somebody else's transaction, or a lagging endpoint. */
  const afterForeignNonce = async (
    t: Transaction,
    head: Head,
    signal: AbortSignal,
  ): Promise<TransactionEvent | undefined> => {
    const since = suspectMs.get(t.id) ?? clock.monotonicMs()
    suspectMs.set(t.id, since)
    if (clock.monotonicMs() - since < options.replacedMs) return undefined
    const deepNonce = await chain.nonce(t.sender, Math.max(0, head.number - network.finalDepth + 1), { signal })
    if (deepNonce <= t.nonce) return undefined
    const receipt = await findReceipt(t, signal, true)
    if (receipt) return { kind: 'mined', inclusion: inclusionOf(t, receipt) }
    deps.log.warn('another transaction of this account used the nonce; its orders will be paid again', { id: t.id })
    return { kind: 'replace' }
  }

  const afterBroadcast = async (
    t: Transaction,
    head: Head,
    signal: AbortSignal,
  ): Promise<TransactionEvent | undefined> => {
    const receipt = await findReceipt(t, signal)
    if (receipt) return { kind: 'mined', inclusion: inclusionOf(t, receipt) }
    if ((await chain.nonce(t.sender, 'latest', { signal })) > t.nonce) return afterForeignNonce(t, head, signal)
    suspectMs.delete(t.id)
    const attempts = attemptsOf(t.state)
    const last = attempts.at(-1)
    if (!last) throw new TypeError(`transaction ${t.id} was broadcast without being signed`)
    const isStuck = clock.nowMs() - last.signedMs >= options.stuckMs
    const fees = isStuck && attempts.length < ATTEMPTS_MAX && bumpFees(last, await chain.feeMarket({ signal }), network)
    if (fees) return sign(t, fees)
    const sent = sentMs.get(t.id)
    if (sent === undefined || clock.monotonicMs() - sent >= options.stuckMs) await handOver(t, last, signal)
    if (isStuck) throw new Trouble('stuck', `a transaction on ${network.name} waits, and its fee is at the cap`)
    return undefined
  }

  const afterMined = async (t: Transaction, inclusion: Inclusion, head: Head, signal: AbortSignal) => {
    const receipt = await findReceipt(t, signal)
    if (!receipt) return dropped(t)
    if (receipt.blockHash !== inclusion.blockHash || receipt.hash !== inclusion.hash) {
      return { kind: 'mined', inclusion: inclusionOf(t, receipt) } as const
    }
    const depth = head.number - inclusion.blockNumber + 1
    if (inclusion.isSuccess) return depth >= network.wantedDepth ? ({ kind: 'confirm' } as const) : undefined
    return depth >= network.finalDepth ? ({ kind: 'fail' } as const) : undefined
  }

  const afterFinal = async (t: Transaction, inclusion: Inclusion, head: Head, signal: AbortSignal) => {
    if (head.number - inclusion.blockNumber + 1 < network.finalDepth) return undefined
    const receipt = await chain.receipt(inclusion.hash, { signal })
    return receipt?.blockHash === inclusion.blockHash ? ({ kind: 'seal' } as const) : dropped(t)
  }

  const dropped = (t: Transaction): TransactionEvent => {
    sentMs.delete(t.id)
    deps.log.warn('a mined transaction is gone after a reorganisation; sending it again', { id: t.id })
    return { kind: 'drop' }
  }

  return {
    next: async (t, head, signal) => {
      const { state } = t
      if (state.kind === 'assigned') return afterAssigned(t, signal)
      if (state.kind === 'signed') {
        const last = state.attempts.at(-1)
        if (last) await handOver(t, last, signal)
        return { kind: 'sent' }
      }
      if (state.kind === 'broadcast') return afterBroadcast(t, head, signal)
      if (state.kind === 'mined') return afterMined(t, state.inclusion, head, signal)
      return state.kind === 'final' ? afterFinal(t, state.inclusion, head, signal) : undefined
    },
  }
}

function keyOf(deps: ProgressDeps, sender: string): Uint8Array {
  try {
    return deps.privateKey(sender as NodeId)
  } catch (cause) {
    throw new Trouble('key', `cannot sign for ${sender}: ${messageOf(cause)}`, 0n, { cause })
  }
}

/** Finds each item's transfer among the receipt's logs. Equal items get different logs, in order. */
function toInclusion(t: Transaction, receipt: Receipt, network: Erc20Network): Inclusion {
  const transfers = receipt.logs.flatMap((log) => parseTransfer(log, network.token.address) ?? [])
  const free = transfers.filter((transfer) => transfer.from === t.sender)
  const logIndexes = t.items.map(({ payee, amountWei }) => {
    const at = free.findIndex((transfer) => transfer.to === payee && transfer.amountWei === amountWei)
    return at < 0 ? -1 : (free.splice(at, 1)[0]?.logIndex ?? -1)
  })
  const { hash, isSuccess, blockNumber, blockHash, gasUsed, gasPriceWei } = receipt
  const feeWei = gasUsed * gasPriceWei
  return { hash, isSuccess, blockNumber, blockHash, feeWei, logIndexes: isSuccess ? logIndexes : [] }
}
