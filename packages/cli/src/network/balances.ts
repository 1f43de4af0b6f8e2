import type { DevChain } from '@emet/contracts/dev-chain'

/** The selector of `balanceOf(address)`. */
const BALANCE_OF = '0x70a08231'

/** Token balances as the chain has them now, in wei, by address. */
export async function readBalances(chain: DevChain, addresses: readonly string[]): Promise<Record<string, bigint>> {
  const read = async (address: string): Promise<[string, bigint]> => {
    const data = `${BALANCE_OF}${address.slice(2).padStart(64, '0')}`
    const result = await chain.rpc('eth_call', { to: chain.addresses.token, data }, 'latest')
    return [address, BigInt(String(result))]
  }
  return Object.fromEntries(await Promise.all(addresses.map(read)))
}
