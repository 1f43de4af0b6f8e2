import type { Hex } from './types.ts'

/** An EIP-1559 transaction that calls a contract. */
export type UnsignedTransaction = {
  readonly chainId: number
  readonly nonce: number
  readonly to: string
  readonly data: Hex
  readonly gasLimit: bigint
  readonly maxFeeWei: bigint
  readonly priorityFeeWei: bigint
}

export type SignedTransaction = { readonly raw: Hex; readonly hash: Hex }

/** Signs. The same input gives the same bytes (RFC 6979). The library is loaded at the first use. */
export async function signTransaction(
  unsigned: UnsignedTransaction,
  privateKey: Uint8Array,
): Promise<SignedTransaction> {
  const [{ privateKeyToAccount }, { keccak256 }] = await Promise.all([import('viem/accounts'), import('viem/utils')])
  const raw = await privateKeyToAccount(`0x${Buffer.from(privateKey).toString('hex')}`).signTransaction({
    type: 'eip1559',
    chainId: unsigned.chainId,
    nonce: unsigned.nonce,
    to: unsigned.to as Hex,
    data: unsigned.data,
    gas: unsigned.gasLimit,
    maxFeePerGas: unsigned.maxFeeWei,
    maxPriorityFeePerGas: unsigned.priorityFeeWei,
  })
  return { raw, hash: keccak256(raw) }
}
