import { createVirtualClock } from '@emet/core/testing'
import { describe, expect, test } from 'vitest'
import { createRpcPool, type Fetch, RpcAnswerError } from './rpc.ts'
import { createRpcChain } from './rpc-chain.ts'

type Handler = (method: string, parameters: unknown[]) => unknown

/** Endpoints by host; a handler returns a result, or throws what `fetch` would. */
function network(hosts: Record<string, Handler>) {
  const asked: string[] = []
  const fetch: Fetch = async (url, init) => {
    const { method, params } = JSON.parse(String(init.body))
    const { host } = new URL(url)
    asked.push(`${host} ${method}`)
    const answer = await hosts[host]?.(method, params)
    if (answer instanceof Response) return answer
    const body =
      answer instanceof RpcAnswerError
        ? { error: { code: answer.rpcCode, message: answer.message } }
        : { result: answer }
    return Response.json(body)
  }
  return { fetch, asked }
}
const chain5: Handler = (method) => (method === 'eth_chainId' ? '0x5' : '0x10')
const down: Handler = () => {
  throw new TypeError('connection refused')
}
const pool = (hosts: Record<string, Handler>, clock = createVirtualClock()) => {
  const { fetch, asked } = network(hosts)
  const urls = Object.keys(hosts).map((host) => `https://${host}/secret-key`)
  return { pool: createRpcPool({ fetch, clock }, { chainId: 5, urls, timeoutMs: 1_000 }), asked, clock }
}

describe('rpc pool', () => {
  test('falls over to the next endpoint, remembers, and comes back when time has passed', async () => {
    let isDown = true
    const { pool: rpc, asked, clock } = pool({ a: (...call) => (isDown ? down(...call) : chain5(...call)), b: chain5 })
    expect(await rpc.call('eth_blockNumber', [])).toBe('0x10')
    expect(asked).toEqual(['a eth_chainId', 'b eth_chainId', 'b eth_blockNumber'])
    asked.length = 0
    await rpc.call('eth_blockNumber', [])
    expect(asked).toEqual(['b eth_blockNumber'])
    isDown = false
    await clock.advance(3_600_000)
    asked.length = 0
    await rpc.call('eth_blockNumber', [])
    expect(asked).toHaveLength(2)
    expect(asked[0]).toBe('a eth_chainId')
  })

  test.each([
    ['no JSON', () => new Response('<html>', { status: 502 })],
    ['JSON that is no answer', () => Response.json([1])],
    ['a rate limit', () => new RpcAnswerError(-32_005, 'slow down', undefined)],
    ['an answer too long', () => new Response('{}', { headers: { 'content-length': '99999999' } })],
  ])('%s counts as no answer', async (_name, answer) => {
    const { pool: rpc } = pool({ a: (method) => (method === 'eth_chainId' ? '0x5' : answer()), b: chain5 })
    expect(await rpc.call('eth_blockNumber', [])).toBe('0x10')
  })

  test('silence ends with the time limit', async () => {
    const hosts = { a: () => new Promise(() => {}), b: chain5 }
    const clock = createVirtualClock()
    const { fetch } = network(hosts)
    const silentFetch: Fetch = (url, init) =>
      Promise.race([
        fetch(url, init),
        new Promise<never>((_, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason))),
      ])
    const urls = ['https://a', 'https://b']
    const answer = createRpcPool({ fetch: silentFetch, clock }, { chainId: 5, urls, timeoutMs: 1_000 }).call('x', [])
    await clock.advance(1_000)
    expect(await answer).toBe('0x10')
    expect(clock.pendingTimers).toBe(0)
  })

  test('an endpoint of another chain is never asked anything else', async () => {
    const { pool: rpc, asked } = pool({ a: () => '0x1' })
    await expect(rpc.call('eth_blockNumber', [])).rejects.toMatchObject({ code: 'wrong-chain', facts: { found: 1 } })
    expect(asked).toEqual(['a eth_chainId'])
  })

  test('when all fail, the error names the hosts and not the keys in their paths', async () => {
    const { pool: rpc } = pool({ a: down, b: down })
    const error = await rpc.call('eth_blockNumber', []).catch((thrown: Error) => thrown)
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringMatching(/\(a, b\)/) })
    expect(String(error)).not.toMatch(/secret/)
  })

  test('asking everywhere fails when one endpoint does not answer', async () => {
    await expect(pool({ a: chain5, b: down }).pool.callAll('x', [])).rejects.toMatchObject({ code: 'unreachable' })
    expect(await pool({ a: chain5, b: chain5 }).pool.callAll('x', [])).toEqual(['0x10', '0x10'])
  })
})

describe('rpc chain', () => {
  const open = (answers: Record<string, unknown>) => {
    const { fetch } = network({ a: (method) => (method === 'eth_chainId' ? '0x5' : answers[method]) })
    return createRpcChain({ fetch, clock: createVirtualClock() }, { chainId: 5, urls: ['https://a'] })
  }

  test.each([
    ['already known', 'accepted'],
    ['AlreadyKnown', 'accepted'],
    ['nonce too low: next nonce 4, tx nonce 3', 'nonce-used'],
    ['replacement transaction underpriced', 'underpriced'],
    ['max fee per gas less than block base fee', 'underpriced'],
    ['insufficient funds for gas * price + value', 'insufficient-gas'],
    ['Insufficient funds for gas * price + value', 'insufficient-gas'],
  ])('a node that says "%s" means %s', async (text, outcome) => {
    const chain = open({ eth_sendRawTransaction: new RpcAnswerError(-32_000, text, undefined) })
    expect(await chain.send('0x02')).toBe(outcome)
  })

  test('an unknown refusal is an error, not an outcome', async () => {
    const chain = open({ eth_sendRawTransaction: new RpcAnswerError(-32_000, 'blob pool is full', undefined) })
    await expect(chain.send('0x02')).rejects.toMatchObject({ code: 'refused' })
  })

  test('the fee market is the next base fee and the median tip', async () => {
    const chain = open({ eth_feeHistory: { baseFeePerGas: ['0x1', '0x9'], reward: [['0x5'], ['0x1'], ['0x3']] } })
    expect(await chain.feeMarket()).toEqual({ baseFeeWei: 9n, priorityFeeWei: 3n })
  })

  test.each([
    ['eth_getBalance', null],
    ['eth_getBalance', '12'],
    ['eth_call', '0x'],
  ])('a senseless answer to %s (%j) is refused with its name', async (method, answer) => {
    const chain = open({ [method]: answer })
    const ask = method === 'eth_call' ? chain.tokenBalance('0x1', '0x2') : chain.gasBalance('0x2')
    await expect(ask).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining(method) })
  })

  test('a missing receipt is undefined, an estimate that fails is a revert', async () => {
    const chain = open({
      eth_getTransactionReceipt: null,
      eth_estimateGas: new RpcAnswerError(3, 'execution reverted', '0x'),
    })
    expect(await chain.receipt('0x1')).toBeUndefined()
    expect(await chain.receipt('0x1', { everywhere: true })).toBeUndefined()
    await expect(chain.estimateGas({ from: '0x', to: '0x', data: '0x' })).rejects.toMatchObject({ code: 'reverted' })
  })
})
