import fc from 'fast-check'
import { keccak256, parseTransaction } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { signTransaction } from './signing.ts'
import type { Hex } from './types.ts'

const hex = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`
const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max })
const wei = fc.bigInt({ min: 0n, max: 2n ** 96n })

const transactions = fc.record({
  chainId: fc.integer({ min: 1, max: 2 ** 40 }),
  nonce: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat()),
  to: bytes(20, 20).map(hex),
  // Lengths around the limits of RLP's heads: 1, 55, 255 and 65535 bytes.
  data: fc.oneof(bytes(0, 2), bytes(50, 60), bytes(200, 300), bytes(65_530, 65_540)).map(hex),
  gasLimit: wei,
  priorityFeeWei: wei,
  maxFeeWei: wei,
})

test('transactions have the bytes and the hash that a general library gives them', async () => {
  const property = fc.asyncProperty(transactions, bytes(32, 32), async (unsigned, given) => {
    const key = Uint8Array.from(given, (byte, at) => (at === 31 ? byte | 1 : at === 0 ? byte & 0x7f : byte))
    const { to, data, chainId, nonce } = unsigned
    // The library refuses a tip above the highest fee; an encoder need not.
    const fees = {
      maxFeePerGas: unsigned.maxFeeWei + unsigned.priorityFeeWei,
      maxPriorityFeePerGas: unsigned.priorityFeeWei,
    }
    const expected = await privateKeyToAccount(hex(key)).signTransaction({
      ...{ type: 'eip1559', chainId, nonce, to, data, gas: unsigned.gasLimit },
      ...fees,
    })
    const signed = signTransaction({ ...unsigned, maxFeeWei: fees.maxFeePerGas }, key)
    expect(signed).toEqual({ raw: expected, hash: keccak256(expected) })
  })
  await fc.assert(property, { numRuns: 100 })
})

test('the parts of a transaction are where a general library reads them', () => {
  const unsigned = { chainId: 17_000, nonce: 7, to: `0x${'ab'.repeat(20)}`, data: '0xa9059cbb' } as const
  const { raw } = signTransaction(
    { ...unsigned, gasLimit: 60_000n, maxFeeWei: 30n, priorityFeeWei: 2n },
    new Uint8Array(32).fill(7),
  )
  const fees = { gas: 60_000n, maxFeePerGas: 30n, maxPriorityFeePerGas: 2n }
  expect(parseTransaction(raw)).toMatchObject({ type: 'eip1559', ...unsigned, ...fees })
})

test('what is not hexadecimal, or negative, is refused', () => {
  const good = { chainId: 1, nonce: 0, to: `0x${'ab'.repeat(20)}`, data: '0x', gasLimit: 1n, maxFeeWei: 1n } as const
  const key = new Uint8Array(32).fill(7)
  const sign = (changed: object) => () => signTransaction({ ...good, priorityFeeWei: 1n, ...changed }, key)
  expect(sign({})).not.toThrow()
  expect(sign({ to: 'nobody' })).toThrow(/"nobody" is not hexadecimal/)
  expect(sign({ data: '0xabc' })).toThrow(/not hexadecimal/)
  expect(sign({ maxFeeWei: -1n })).toThrow(/negative/)
})
