/**
 * Transactions, encoded by hand: one kind of list is all that payments need of RLP, and a library for all of Ethereum
 * takes a hundred times longer to load than this takes to run. The tests compare with such a library.
 */
import { keccak_256 } from '@noble/hashes/sha3.js'
import { signDigest } from '../../identity/index.ts'
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

/** The first byte of an EIP-1559 transaction. */
const TYPE = 2

/** Signs. The same input gives the same bytes (RFC 6979). */
export function signTransaction(unsigned: UnsignedTransaction, privateKey: Uint8Array): SignedTransaction {
  const { chainId, nonce, priorityFeeWei, maxFeeWei, gasLimit, to, data } = unsigned
  const [valueWei, accessList] = [0n, encodeList([])]
  const call = [encodeBytes(fromHex(to)), encodeInteger(valueWei), encodeBytes(fromHex(data)), accessList]
  const fields = [...[BigInt(chainId), BigInt(nonce), priorityFeeWei, maxFeeWei, gasLimit].map(encodeInteger), ...call]
  const [yParity = 0, ...rs] = signDigest(privateKey, keccak_256(encodeTyped(fields)))
  const [r, s] = [rs.slice(0, 32), rs.slice(32)].map((part) => BigInt(toHex(Uint8Array.from(part))))
  const raw = encodeTyped([...fields, ...[BigInt(yParity), r as bigint, s as bigint].map(encodeInteger)])
  return { raw: toHex(raw), hash: toHex(keccak_256(raw)) }
}

const encodeTyped = (fields: readonly Uint8Array[]) => Buffer.concat([Buffer.of(TYPE), encodeList(fields)])

/** RLP: a list is a head with the length of its items, and the items. */
function encodeList(items: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(items)
  return Buffer.concat([head(0xc0, content.length), content])
}

/** RLP: a single byte below 0x80 stands for itself; other strings have a head with their length. */
function encodeBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === 1 && (bytes[0] as number) < 0x80 ? bytes : Buffer.concat([head(0x80, bytes.length), bytes])
}

/** RLP: an integer is a big-endian string without leading zeros, so 0 is the empty one. */
function encodeInteger(value: bigint): Uint8Array {
  if (value < 0n) throw new RangeError(`${value} cannot be part of a transaction: it is negative`)
  return encodeBytes(bigEndian(value))
}

/** RLP: lengths up to 55 are within the first byte, which of longer ones tells how many bytes of length follow. */
function head(base: number, length: number): Uint8Array {
  if (length <= 55) return Buffer.of(base + length)
  const size = bigEndian(BigInt(length))
  return Buffer.of(base + 55 + size.length, ...size)
}

function bigEndian(value: bigint): Uint8Array {
  const digits = value === 0n ? '' : value.toString(16)
  return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex')
}

function fromHex(text: string): Uint8Array {
  if (!/^0x([0-9a-f]{2})*$/i.test(text)) throw new RangeError(`${JSON.stringify(text.slice(0, 80))} is not hexadecimal`)
  return Buffer.from(text.slice(2), 'hex')
}

const toHex = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`
