/**
 * JSON-RPC over several endpoints. Each has a score that errors and slowness lower and time restores; a call goes to the
 * best one first and falls over to the next when there is no answer. An endpoint of another chain is never used.
 */
import type { AbortOptions, Clock } from '@emet/core'
import { messageOf } from '@emet/core'
import { z } from 'zod'
import { ChainError } from './errors.ts'

/** What of `fetch` is needed; a port, so that tests can be without a network. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export type RpcPoolDeps = { readonly fetch: Fetch; readonly clock: Clock }

export type RpcPoolOptions = {
  readonly chainId: number
  /** Best first. */
  readonly urls: readonly string[]
  /** For one call of one endpoint. */
  readonly timeoutMs?: number
}

export interface RpcPool {
  /** The result of the first endpoint that answers. Throws `ChainError` or `RpcAnswerError`. */
  call(method: string, parameters: readonly unknown[], options?: AbortOptions): Promise<unknown>
  /** The results of all endpoints. Rejects unless each one answers. */
  callAll(method: string, parameters: readonly unknown[], options?: AbortOptions): Promise<unknown[]>
}

/** The endpoint answered: no. Another endpoint would say the same. */
export class RpcAnswerError extends Error {
  readonly rpcCode: number
  readonly data: unknown
  constructor(rpcCode: number, message: string, data: unknown) {
    super(message)
    this.rpcCode = rpcCode
    this.data = data
  }
}

/** An endpoint that says nothing for so long is passed over. */
const CALL_TIMEOUT_MS = 8_000
/** Answers longer than this are dropped unread. A receipt of 1000 transfers has about 700 KB. */
const ANSWER_LENGTH_MAX_BYTES = 8 * 1024 * 1024
/** Penalty points of a failure; slowness costs one point for each `SLOW_MS`. */
const FAILURE_POINTS = 100
const SLOW_MS = 50
/** Endpoints whose penalties differ by less are as good as each other. */
const RANK_POINTS = 10
/** Penalties halve in this time. */
const PENALTY_HALF_LIFE_MS = 60_000
/** JSON-RPC error codes that mean "not now" rather than "no": limits and internal trouble of the endpoint. */
const BUSY_CODES = new Set([-32_005, -32_016, -32_029, 429])

const answerSchema = z.object({
  result: z.unknown().optional(),
  error: z.object({ code: z.number(), message: z.string(), data: z.unknown().optional() }).optional(),
})

type Endpoint = { readonly url: string; penalty: number; sinceMs: number; chainId?: number | undefined }

export function createRpcPool(deps: RpcPoolDeps, options: RpcPoolOptions): RpcPool {
  const { clock } = deps
  const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS
  const endpoints: Endpoint[] = options.urls.map((url) => ({ url, penalty: 0, sinceMs: clock.monotonicMs() }))
  let lastId = 0

  const penaltyOf = (endpoint: Endpoint) =>
    endpoint.penalty * 0.5 ** ((clock.monotonicMs() - endpoint.sinceMs) / PENALTY_HALF_LIFE_MS)
  const punish = (endpoint: Endpoint, points: number) => {
    endpoint.penalty = penaltyOf(endpoint) + points
    endpoint.sinceMs = clock.monotonicMs()
  }
  const ask = async (endpoint: Endpoint, method: string, parameters: readonly unknown[], signal?: AbortSignal) => {
    const startMs = clock.monotonicMs()
    try {
      const body = JSON.stringify({ jsonrpc: '2.0', id: ++lastId, method, params: parameters })
      const answer = await post(deps, endpoint.url, body, timeoutMs, signal)
      punish(endpoint, (clock.monotonicMs() - startMs) / SLOW_MS)
      return answer
    } catch (error) {
      if (!(error instanceof RpcAnswerError) && !signal?.aborted) punish(endpoint, FAILURE_POINTS)
      throw error
    }
  }
  /** Asks the endpoint for its chain id before it is believed anything. */
  const askChecked = async (
    endpoint: Endpoint,
    method: string,
    parameters: readonly unknown[],
    signal?: AbortSignal,
  ) => {
    endpoint.chainId ??= Number(await ask(endpoint, 'eth_chainId', [], signal))
    if (endpoint.chainId === options.chainId) return ask(endpoint, method, parameters, signal)
    const found = endpoint.chainId
    endpoint.chainId = undefined
    punish(endpoint, FAILURE_POINTS)
    const message = `${hostOf(endpoint.url)} serves chain ${found}, configured is ${options.chainId}; correct its address`
    throw new ChainError('wrong-chain', message, { found, wanted: options.chainId })
  }

  return {
    call: async (method, parameters, { signal } = {}) => {
      // Small differences do not count: then the configured order does.
      const rank = (endpoint: Endpoint) => Math.floor(penaltyOf(endpoint) / RANK_POINTS)
      const order = [...endpoints].sort((left, right) => rank(left) - rank(right))
      let last: unknown
      for (const endpoint of order) {
        try {
          return await askChecked(endpoint, method, parameters, signal)
        } catch (error) {
          if (error instanceof RpcAnswerError) throw error
          signal?.throwIfAborted()
          last = error
        }
      }
      if (last instanceof ChainError && last.code === 'wrong-chain') throw last
      const hosts = order.map((endpoint) => hostOf(endpoint.url)).join(', ') || 'none configured'
      const message = `no RPC endpoint of chain ${options.chainId} answered ${method} (${hosts}): ${messageOf(last)}`
      throw new ChainError('unreachable', message, { method, chainId: options.chainId }, { cause: last })
    },
    callAll: (method, parameters, { signal } = {}) =>
      Promise.all(
        endpoints.map((endpoint) =>
          askChecked(endpoint, method, parameters, signal).catch((cause) => {
            if (cause instanceof RpcAnswerError || signal?.aborted) throw cause
            throw new ChainError(
              'unreachable',
              `${hostOf(endpoint.url)} did not answer ${method}`,
              { method },
              { cause },
            )
          }),
        ),
      ),
  }
}

async function post(
  deps: RpcPoolDeps,
  url: string,
  body: string,
  timeoutMs: number,
  outer: AbortSignal | undefined,
): Promise<unknown> {
  const timeout = new AbortController()
  const cancel = deps.clock.setTimer(timeoutMs, () => timeout.abort(new Error(`no answer in ${timeoutMs} ms`)))
  const signal = outer ? AbortSignal.any([timeout.signal, outer]) : timeout.signal
  try {
    const headers = { 'content-type': 'application/json' }
    const response = await deps.fetch(url, { method: 'POST', headers, body, signal })
    const length = Number(response.headers.get('content-length') ?? 0)
    if (length > ANSWER_LENGTH_MAX_BYTES) throw new Error(`the answer has ${length} bytes`)
    const text = await response.text()
    if (text.length > ANSWER_LENGTH_MAX_BYTES) throw new Error(`the answer has ${text.length} bytes`)
    const answer = answerSchema.safeParse(parseJson(text))
    if (!answer.success) throw new Error(`HTTP ${response.status} without a JSON-RPC answer`)
    const { error, result } = answer.data
    if (!error) return result
    if (BUSY_CODES.has(error.code)) throw new Error(`${error.message} (${error.code})`)
    throw new RpcAnswerError(error.code, error.message, error.data)
  } finally {
    cancel()
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Endpoint addresses carry API keys in path and query: only the host is for logs and messages. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'malformed address'
}
