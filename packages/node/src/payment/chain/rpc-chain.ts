/** `Chain` over JSON-RPC. Every answer is parsed: endpoints are strangers. */
import type { AbortOptions } from '@emet/core'
import { messageOf } from '@emet/core'
import { z } from 'zod'
import { encodeAllowance, encodeBalanceOf } from './calls.ts'
import { ChainError } from './errors.ts'
import { createRpcPool, RpcAnswerError, type RpcPoolDeps, type RpcPoolOptions } from './rpc.ts'
import type { Chain, Hex, Receipt, SendOutcome } from './types.ts'

const hex = z.string().regex(/^0x[0-9a-fA-F]*$/)
const data = hex.transform((text) => text.toLowerCase() as Hex)
const hash = hex.length(66).transform((text) => text.toLowerCase() as Hex)
const quantity = hex.min(3).transform((text) => BigInt(text))
const count = quantity.transform((value) => Number(value))
const address = hex.length(42).transform((text) => text.toLowerCase())

const block = z
  .object({ number: count, hash, timestamp: count })
  .transform(({ timestamp, ...rest }) => ({ ...rest, timeMs: timestamp * 1000 }))
const feeHistory = z.object({ baseFeePerGas: z.array(quantity).min(1), reward: z.array(z.array(quantity)).nullish() })
const log = z.object({ address, topics: z.array(data), data, logIndex: count })
const receipt = z
  .object({
    transactionHash: hash,
    status: count,
    blockNumber: count,
    blockHash: hash,
    from: address,
    to: address.nullable(),
    gasUsed: quantity,
    effectiveGasPrice: quantity.optional(),
    logs: z.array(log),
  })
  .transform(
    ({ transactionHash, status, effectiveGasPrice, ...rest }): Receipt => ({
      ...rest,
      hash: transactionHash,
      isSuccess: status === 1,
      gasPriceWei: effectiveGasPrice ?? 0n,
    }),
  )

/** Blocks that the median priority fee is taken over. */
const FEE_HISTORY_BLOCKS = 10

/**
 * What endpoints say when they refuse a transaction. The texts are those of the common clients (geth, reth, erigon,
 * nethermind, anvil); codes do not tell these cases apart.
 */
const SEND_ANSWERS: readonly [RegExp, SendOutcome][] = [
  [/already known|already imported|known transaction|already exists|alreadyknown/i, 'accepted'],
  [/nonce too low|nonce is too low|oldnonce|old nonce|nonce has already been used/i, 'nonce-used'],
  [/underpriced|fee too low|feetoolow|max fee per gas less than block base fee|replacement/i, 'underpriced'],
  [/insufficient funds|insufficient balance|insufficientfunds/i, 'insufficient-gas'],
]

/** A chain behind JSON-RPC endpoints. */
export function createRpcChain(deps: RpcPoolDeps, options: RpcPoolOptions): Chain {
  const pool = createRpcPool(deps, options)
  const ask = async <T>(schema: z.ZodType<T>, method: string, parameters: unknown[], o?: AbortOptions): Promise<T> => {
    try {
      return parse(schema, method, await pool.call(method, parameters, o))
    } catch (error) {
      if (!(error instanceof RpcAnswerError)) throw error
      throw new ChainError('refused', `${method} was refused: ${error.message}`, { method }, { cause: error })
    }
  }
  const view = (to: string, call: Hex, o?: AbortOptions) => ask(quantity, 'eth_call', [{ to, data: call }, 'latest'], o)

  return {
    chainId: options.chainId,
    head: (o) => ask(block, 'eth_getBlockByNumber', ['latest', false], o),
    blockAt: async (number, o) =>
      (await ask(block.nullable(), 'eth_getBlockByNumber', [toQuantity(number), false], o)) ?? undefined,
    gasBalance: (owner, o) => ask(quantity, 'eth_getBalance', [owner, 'latest'], o),
    tokenBalance: (token, owner, o) => view(token, encodeBalanceOf(owner), o),
    allowance: (token, owner, spender, o) => view(token, encodeAllowance(owner, spender), o),
    nonce: (owner, at, o) =>
      ask(count, 'eth_getTransactionCount', [owner, typeof at === 'number' ? toQuantity(at) : at], o),
    feeMarket: async (o) => {
      const history = await ask(feeHistory, 'eth_feeHistory', [toQuantity(FEE_HISTORY_BLOCKS), 'latest', [50]], o)
      const rewards = (history.reward ?? []).flatMap((each) => each.slice(0, 1)).sort((a, b) => (a < b ? -1 : 1))
      return {
        baseFeeWei: history.baseFeePerGas.at(-1) ?? 0n,
        priorityFeeWei: rewards[Math.floor(rewards.length / 2)] ?? 0n,
      }
    },
    estimateGas: async (call, o) => {
      try {
        return parse(quantity, 'eth_estimateGas', await pool.call('eth_estimateGas', [call], o))
      } catch (error) {
        if (!(error instanceof RpcAnswerError)) throw error
        throw new ChainError('reverted', `the transaction would fail: ${error.message}`, {}, { cause: error })
      }
    },
    send: async (raw, o) => {
      try {
        await pool.call('eth_sendRawTransaction', [raw], o)
        return 'accepted'
      } catch (error) {
        if (!(error instanceof RpcAnswerError)) throw error
        const outcome = SEND_ANSWERS.find(([pattern]) => pattern.test(error.message))?.[1]
        if (outcome) return outcome
        throw new ChainError('refused', `the transaction was not accepted: ${messageOf(error)}`, {}, { cause: error })
      }
    },
    receipt: async (of, o = {}) => {
      if (!o.everywhere) return (await ask(receipt.nullable(), 'eth_getTransactionReceipt', [of], o)) ?? undefined
      const answers = await pool.callAll('eth_getTransactionReceipt', [of], o)
      const found = answers.find((answer) => answer !== null)
      return found === undefined ? undefined : parse(receipt, 'eth_getTransactionReceipt', found)
    },
  }
}

function parse<T>(schema: z.ZodType<T>, method: string, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const message = `${method} was answered with something else: ${issue?.path.join('.')} ${issue?.message}`
  throw new ChainError('refused', message, { method }, { cause: parsed.error })
}

const toQuantity = (value: number) => `0x${value.toString(16)}`
