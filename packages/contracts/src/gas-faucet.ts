/** The HTTP faucet of native coin that Golem's test networks have: `GET /donate/0x<address>`. */
import { createServer, type Server } from 'node:http'
import { callRpc, sendMined } from './rpc.ts'

export type GasFaucet = { readonly url: string; stop(): Promise<void> }

/** Requests waiting for their turn; more are told to come back. */
const QUEUE_LENGTH_MAX = 256
/** Selector of `drip(address)`. */
const DRIP = '0x67a5cd06'

/** Serves `/donate/<address>` on a free port of loopback; each request becomes one call of the faucet contract. */
export async function startGasFaucet(rpcUrl: string, contract: string, sender: string): Promise<GasFaucet> {
  let queued = 0
  let last: Promise<unknown> = Promise.resolve()
  const donate = (address: string): Promise<string> => {
    const turn = last.then(() => drip(rpcUrl, contract, sender, address))
    last = turn.catch(() => {})
    return turn
  }
  const server = createServer((request, response) => {
    const address = /^\/donate\/(0x[0-9a-fA-F]{40})$/.exec(request.url ?? '')?.[1]
    const answer = (status: number, text: string): void => void response.writeHead(status).end(`${text}\n`)
    if (request.method !== 'GET' || !address) return answer(404, 'ask for GET /donate/0x<40 hex digits>')
    if (queued >= QUEUE_LENGTH_MAX) return answer(503, 'too many requests are waiting; try again in a second')
    queued++
    donate(address)
      .then(
        (text) => answer(200, text),
        (error: Error) => answer(500, error.message),
      )
      .finally(() => queued--)
  })
  const port = await listen(server)
  return { url: `http://127.0.0.1:${port}/donate`, stop: () => close(server) }
}

async function drip(rpcUrl: string, contract: string, sender: string, address: string): Promise<string> {
  const balance = BigInt(String(await callRpc(rpcUrl, 'eth_getBalance', [address, 'latest'])))
  if (balance >= 9n * 10n ** 15n) return `${address} has enough`
  const data = `${DRIP}${address.slice(2).toLowerCase().padStart(64, '0')}`
  return sendMined(rpcUrl, { from: sender, to: contract, data })
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address && typeof address === 'object') resolve(address.port)
    })
  })
}

function close(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
