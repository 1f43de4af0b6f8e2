import { nodeId, type SignedPayment } from '@emet/core'
import { expect, test } from 'vitest'
import { paidFor, transactionOf } from './settlement.ts'

const payment = (part: Partial<SignedPayment>): SignedPayment => ({
  paymentId: 'p',
  payerId: nodeId(`0x${'1'.repeat(40)}`),
  payeeId: nodeId(`0x${'2'.repeat(40)}`),
  payerAddr: '',
  payeeAddr: '',
  paymentPlatform: '',
  amount: 0n,
  timestamp: 0,
  agreementPayments: [],
  activityPayments: [],
  details: new Uint8Array(32).fill(1),
  signature: undefined,
  signedBytes: undefined,
  ...part,
})
const agreement = (agreementId: string, amount: bigint) => ({ agreementId, amount, allocationId: undefined })
const activity = (activityId: string, amount: bigint) => ({ activityId, amount, allocationId: undefined })

test('only the parts for this agreement and its activity count', () => {
  const owed = { agreementId: 'a', activityId: 'x' }
  const payments = [
    payment({ agreementPayments: [agreement('a', 3n), agreement('b', 100n)], activityPayments: [activity('x', 4n)] }),
    payment({ activityPayments: [activity('x', 5n), activity('y', 50n)], details: new Uint8Array(32).fill(2) }),
    payment({ agreementPayments: [agreement('b', 7n)], details: new Uint8Array(32).fill(3) }),
  ]
  expect(paidFor(owed, payments)).toEqual({
    amount: 12n,
    transactions: [`0x${'01'.repeat(32)}`, `0x${'02'.repeat(32)}`],
  })
})

test('a transaction is found in either form of confirmation', () => {
  const hash = `0x${'ab'.repeat(32)}`
  expect(transactionOf(new Uint8Array(32).fill(0xab))).toBe(hash)
  expect(transactionOf(new TextEncoder().encode(JSON.stringify({ txHash: hash })))).toBe(hash)
})
