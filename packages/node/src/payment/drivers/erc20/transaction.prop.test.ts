import fc from 'fast-check'
import { expect, test } from 'vitest'
import { advanceTransaction, attemptsOf, isOver, type Transaction, type TransactionEvent } from './transaction.ts'

const hash = (n: number) => `0x${n.toString(16).padStart(64, '0')}` as const
const fresh: Transaction = {
  id: 1,
  chainId: 1,
  network: 'hoodi',
  sender: '0x1',
  purpose: 'pay',
  platform: 'p',
  to: '0x2',
  data: '0x',
  gasLimit: 1n,
  nonce: 4,
  items: [],
  state: { kind: 'assigned' },
}
const attempt = (n: number) => ({ hash: hash(n), raw: hash(n), maxFeeWei: 1n, priorityFeeWei: 1n, signedMs: n })
const inclusion = (n: number, isSuccess: boolean) =>
  ({ hash: hash(n), blockNumber: n, blockHash: hash(n), isSuccess, feeWei: 1n, logIndexes: [] }) as const

const event: fc.Arbitrary<TransactionEvent> = fc.oneof(
  fc.nat(9).map((nonce) => ({ kind: 'reassign', nonce }) as const),
  fc.nat(3).map((n) => ({ kind: 'sign', attempt: attempt(n) }) as const),
  fc.tuple(fc.nat(3), fc.boolean()).map(([n, ok]) => ({ kind: 'mined', inclusion: inclusion(n, ok) }) as const),
  fc
    .constantFrom<TransactionEvent['kind']>('sent', 'confirm', 'drop', 'seal', 'fail', 'replace')
    .map((kind) => ({ kind }) as TransactionEvent),
)

test('whatever happens in whatever order, a transaction keeps its promises', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let transaction = fresh
      for (const next of events) {
        const before = transaction
        try {
          transaction = advanceTransaction(before, next)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
          continue
        }
        expect(isOver(before), 'nothing leaves an end').toBe(false)
        expect(attemptsOf(transaction.state).slice(0, attemptsOf(before.state).length)).toEqual(
          attemptsOf(before.state),
        )
        if (attemptsOf(before.state).length > 0) expect(transaction.nonce).toBe(before.nonce)
        if (transaction.state.kind === 'failed') expect(transaction.state.inclusion.isSuccess).toBe(false)
        if (transaction.state.kind === 'final') expect(transaction.state.inclusion.isSuccess).toBe(true)
      }
    }),
    { numRuns: 500 },
  )
})

test('the message of an illegal move names transaction, state and move', () => {
  expect(() => advanceTransaction(fresh, { kind: 'confirm' })).toThrow('transaction 1 is assigned: it cannot confirm')
})
