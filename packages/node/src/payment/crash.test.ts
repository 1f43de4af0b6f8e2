import { describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../store/index.ts'
import {
  ACTIVITY,
  AGREEMENT,
  Crash,
  createWorld,
  GLM,
  type Mortal,
  mortalDatabase,
  PLATFORM,
  type TestNode,
  type World,
} from './testing/index.ts'

/** More than any run needs; a run that takes longer hangs. */
const ROUNDS_MAX = 40

/**
 * What two patient agents do until the invoice is settled: look at what there is, and do the next thing. Each step may be
 * cut off by a crash at any commit; a crashed node is started again on what it had committed.
 */
async function trade(world: World, revive: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    for (const step of [prepare, decide]) {
      try {
        await step(world)
      } catch (error) {
        if (!isPassing(error)) throw error
      }
      await revive()
    }
    await world.clock.advance(40_000)
    if (!(await revive()) && isSettled(world.requestor) && isSettled(world.provider)) return
  }
  throw new Error('the trade never came to its end')
}

async function prepare({ provider, clock }: World): Promise<void> {
  const { payment, id } = provider
  const paymentDueDate = (clock.nowMs() + 1e9) * 1000
  if (payment.debitNotes.list(id).length === 0) {
    const usage = { usageCounterVector: [1], paymentDueDate }
    payment.debitNotes.issue(id, { activityId: ACTIVITY, totalAmountDue: 2n * GLM, ...usage })
  }
  for (const note of payment.debitNotes.list(id)) await payment.debitNotes.send(id, note.debitNoteId)
  if (payment.invoices.list(id).length === 0) {
    payment.invoices.issue(id, { agreementId: AGREEMENT, activityIds: [ACTIVITY], amount: 5n * GLM, paymentDueDate })
  }
  for (const invoice of payment.invoices.list(id)) await payment.invoices.send(id, invoice.invoiceId)
}

async function decide({ requestor }: World): Promise<void> {
  const { payment, id } = requestor
  const [allocation] = payment.allocations.list(id)
  const { allocationId } = allocation ?? (await payment.allocations.create(id, NEW_ALLOCATION))
  for (const { debitNoteId, totalAmountDue, status } of payment.debitNotes.list(id)) {
    if (status === 'RECEIVED') {
      await payment.debitNotes.accept(id, debitNoteId, { totalAmountAccepted: totalAmountDue, allocationId })
    }
  }
  for (const { invoiceId, amount, status } of payment.invoices.list(id)) {
    if (status === 'RECEIVED')
      await payment.invoices.accept(id, invoiceId, { totalAmountAccepted: amount, allocationId })
  }
}

const NEW_ALLOCATION = {
  address: undefined,
  paymentPlatform: PLATFORM,
  totalAmount: 10n * GLM,
  timeout: undefined,
  deposit: undefined,
  makeDeposit: undefined,
  extendTimeout: undefined,
}

const isSettled = ({ payment, id }: TestNode) =>
  payment.invoices.list(id).some(({ status }) => status === 'SETTLED') &&
  payment.debitNotes.list(id).every(({ status }) => status === 'SETTLED')

/** A crash here, or its echo at the other side. */
const isPassing = (error: unknown) =>
  error instanceof Crash || (error instanceof Error && /process|reached|refused|answer/.test(error.message))

/** Everything that must be true when it is over, however often it was cut off. */
async function checkBooks({ requestor, provider, ledger }: World, db: Database): Promise<void> {
  expect(ledger.balance(provider.id, PLATFORM), 'paid exactly once').toBe(5n * GLM)
  expect(ledger.balance(requestor.id, PLATFORM)).toBe(95n * GLM)
  const [allocation, ...others] = requestor.payment.allocations.list(requestor.id)
  expect(others).toEqual([])
  expect([allocation?.spentAmount, allocation?.remainingAmount]).toEqual([5n * GLM, 5n * GLM])
  for (const { payment, id } of [requestor, provider]) {
    const payments = await payment.payments.poll(id, { timeoutMs: 0 })
    expect(payments.reduce((sum, { amount }) => sum + amount, 0n)).toBe(5n * GLM)
    expect(payment.sheets.agreement(id, AGREEMENT)).toMatchObject({
      totalAmountDue: 5n * GLM,
      totalAmountAccepted: 5n * GLM,
      totalAmountPaid: 5n * GLM,
    })
    for (const feed of [payment.invoices, payment.debitNotes]) {
      const kinds = {
        requestorKinds: ['ACCEPTED', 'SETTLED'] as const,
        providerKinds: ['ACCEPTED', 'SETTLED'] as const,
      }
      const events = await feed.events(id, { timeoutMs: 0, ...kinds })
      expect(events.map(({ eventType }) => eventType.replace(/Invoice|DebitNote/, ''))).toEqual([
        'AcceptedEvent',
        'SettledEvent',
      ])
    }
  }
  expect(db.all('SELECT * FROM payment_outbox'), 'nothing left to tell').toEqual([])
  expect(db.all('SELECT * FROM payment_obligation WHERE order_id IS NULL')).toEqual([])
  expect(db.all('SELECT * FROM payment_announced')).toEqual([])
}

/** Runs the trade with one death. Returns false when the node was never about to make that commit. */
async function tradeWithDeath(
  side: 'requestor' | 'provider',
  commit: number,
  when: 'before' | 'after',
): Promise<boolean> {
  const inner = openDatabase({ path: ':memory:' })
  const mortal: Mortal = mortalDatabase(inner, commit, when)
  const world = await createWorld({ db: (of) => (of === side ? mortal : openDatabase({ path: ':memory:' })) })
  let hasDied = false
  const revive = async () => {
    if (!mortal.isDead || hasDied) return false
    hasDied = true
    await world[side].restart(inner)
    return true
  }
  await trade(world, revive)
  await checkBooks(world, inner)
  await world.stop()
  return hasDied
}

describe('a crash at every commit', () => {
  it.each([
    ['requestor', 'before'],
    ['requestor', 'after'],
    ['provider', 'before'],
    ['provider', 'after'],
  ] as const)('of the %s, just %s it: paid once, nothing lost', { timeout: 300_000 }, async (side, when) => {
    let commit = 1
    while (await tradeWithDeath(side, commit, when)) commit++
    expect(commit, 'the table has rows').toBeGreaterThan(6)
  })
})
