import { systemClock } from '@emet/core'
import { DevChainError } from './errors.ts'

/** One call of the local chain, all in all. */
const CALL_TIMEOUT_MS = 10_000
/** Between two looks for a receipt. Anvil mines at once, so the first or second look finds it. */
const RECEIPT_POLL_MS = 5

let lastId = 0

/** A JSON-RPC call. The local chain is asked so few things that it needs no library, which would take longer to load. */
export async function callRpc(url: string, method: string, parameters: readonly unknown[]): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: ++lastId, method, params: parameters }),
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  }).catch((cause) => {
    throw new DevChainError('rpc', `the local chain at ${url} does not answer ${method}`, { url, method }, { cause })
  })
  const answer = (await response.json()) as { result?: unknown; error?: { message?: string } }
  if (!answer.error) return answer.result
  throw new DevChainError('rpc', `the local chain refused ${method}: ${answer.error.message}`, { method })
}

/** Sends from an account that Anvil holds the key of, and waits until it is mined. Throws when it was reverted. */
export async function sendMined(url: string, transaction: Record<string, unknown>): Promise<string> {
  const hash = await callRpc(url, 'eth_sendTransaction', [transaction])
  const deadline = systemClock.monotonicMs() + CALL_TIMEOUT_MS
  while (systemClock.monotonicMs() < deadline) {
    const receipt = (await callRpc(url, 'eth_getTransactionReceipt', [hash])) as { status: string } | null
    if (receipt?.status === '0x1') return String(hash)
    if (receipt) throw new DevChainError('rpc', `transaction ${hash} was reverted`, { hash })
    await systemClock.sleep(RECEIPT_POLL_MS)
  }
  throw new DevChainError('rpc', `transaction ${hash} was not mined in ${CALL_TIMEOUT_MS} ms`, { hash })
}
