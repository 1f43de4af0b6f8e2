import { type Address, encodeFunctionData, erc20Abi, parseAbi } from 'viem'
import { expect, test } from 'vitest'
import {
  encodeAllowance,
  encodeApprove,
  encodeBalanceOf,
  encodeCreate,
  encodeMultiPay,
  encodeTransfer,
  parseTransfer,
  TRANSFER_TOPIC,
} from './calls.ts'

const one: Address = '0x00000000000000000000000000000000000000ab'
const two: Address = '0xffffffffffffffffffffffffffffffffffffff01'
const abi = parseAbi(['function golemTransferDirectPacked(bytes32[])', 'function create()'])

test.each([
  [encodeTransfer(one, 5n), encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args: [one, 5n] })],
  [
    encodeApprove(two, 2n ** 256n - 1n),
    encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [two, 2n ** 256n - 1n] }),
  ],
  [encodeBalanceOf(one), encodeFunctionData({ abi: erc20Abi, functionName: 'balanceOf', args: [one] })],
  [encodeAllowance(one, two), encodeFunctionData({ abi: erc20Abi, functionName: 'allowance', args: [one, two] })],
  [encodeCreate(), encodeFunctionData({ abi, functionName: 'create' })],
  [
    encodeMultiPay([
      { payee: one, amountWei: 1n },
      { payee: two, amountWei: 2n ** 96n - 1n },
    ]),
    encodeFunctionData({
      abi,
      functionName: 'golemTransferDirectPacked',
      args: [[`${one}000000000000000000000001`, `${two}ffffffffffffffffffffffff`]],
    }),
  ],
])('%s is what a general encoder makes', (ours, theirs) => {
  expect(ours).toBe(theirs)
})

test('an amount that does not fit into a packed item is refused', () => {
  expect(() => encodeMultiPay([{ payee: one, amountWei: 2n ** 96n }])).toThrow(RangeError)
})

const log = {
  address: one,
  topics: [TRANSFER_TOPIC, `0x${'0'.repeat(24)}${two.slice(2)}`, `0x${'0'.repeat(24)}${one.slice(2)}`],
  data: `0x${'0'.repeat(63)}7`,
  logIndex: 3,
} as const

test('a transfer log is read', () => {
  expect(parseTransfer(log, one)).toEqual({ from: two, to: one, amountWei: 7n, logIndex: 3 })
})

test.each([
  ['another contract', { ...log, address: two }],
  ['another event', { ...log, topics: [`0x${'1'.repeat(64)}`, ...log.topics.slice(1)] }],
  ['an indexed amount (ERC-721)', { ...log, topics: [...log.topics, log.data] }],
  ['no amount', { ...log, data: '0x' as const }],
])('%s is no transfer', (_name, other) => {
  expect(parseTransfer(other, one)).toBeUndefined()
})
