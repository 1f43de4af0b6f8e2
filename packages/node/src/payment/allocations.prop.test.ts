import fc from 'fast-check'
import { expect, it } from 'vitest'
import { PaymentError } from './errors.ts'
import { agreementBetween, createWorld, GLM, PLATFORM, type World } from './testing/index.ts'

const BALANCE = 20n

type Move =
  | { readonly do: 'allocate' | 'bill' | 'advance'; readonly glm: bigint }
  | { readonly do: 'amend' | 'accept'; readonly which: number; readonly glm: bigint }
  | { readonly do: 'release' | 'run' | 'restart'; readonly which: number }

const glm = fc.bigInt({ min: 0n, max: 12n })
const which = fc.nat(3)
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ do: fc.constantFrom('allocate' as const, 'bill' as const, 'advance' as const), glm }),
  fc.record({ do: fc.constantFrom('amend' as const, 'accept' as const), which, glm }),
  fc.record({ do: fc.constantFrom('release' as const, 'run' as const, 'restart' as const), which }),
)

/** Does the move; being refused is fine, anything else is not. */
async function make(world: World, step: Move, agreements: string[]): Promise<void> {
  const { requestor, provider, clock } = world
  const { payment, id } = requestor
  const pick = <T>(items: readonly T[], index: number) => items[index % Math.max(1, items.length)]
  switch (step.do) {
    case 'advance':
      return clock.advance(Number(step.glm) * 10_000)
    case 'restart':
      return requestor.restart()
    case 'run':
      return void payment.batches.runNow(id, PLATFORM)
    case 'allocate':
      return void (await payment.allocations.create(id, { ...NEW, totalAmount: step.glm * GLM }))
    case 'bill': {
      const agreementId = String(agreements.length).padStart(64, '0')
      agreements.push(agreementId)
      world.agreements.set(agreementId, agreementBetween(id, provider.id, agreementId))
      const paymentDueDate = (clock.nowMs() + 1e9) * 1000
      const bill = { agreementId, activityIds: [], amount: step.glm * GLM, paymentDueDate }
      const { invoiceId } = provider.payment.invoices.issue(provider.id, bill)
      return provider.payment.invoices.send(provider.id, invoiceId)
    }
    case 'accept': {
      const invoice = pick(
        payment.invoices.list(id).filter(({ status }) => status === 'RECEIVED'),
        step.which,
      )
      const allocation = pick(payment.allocations.list(id), Number(step.glm))
      if (!invoice || !allocation) return
      const acceptance = { totalAmountAccepted: invoice.amount, allocationId: allocation.allocationId }
      return payment.invoices.accept(id, invoice.invoiceId, acceptance)
    }
    case 'amend': {
      const allocation = pick(payment.allocations.list(id), step.which)
      const change = { totalAmount: step.glm * GLM, timeout: undefined, deposit: undefined }
      return void (allocation && (await payment.allocations.amend(id, allocation.allocationId, change)))
    }
    case 'release': {
      const allocation = pick(payment.allocations.list(id), step.which)
      return allocation && payment.allocations.release(id, allocation.allocationId)
    }
  }
}

const NEW = {
  address: undefined,
  paymentPlatform: PLATFORM,
  timeout: undefined,
  deposit: undefined,
  makeDeposit: undefined,
  extendTimeout: undefined,
}

const sum = (amounts: readonly bigint[]) => amounts.reduce((a, b) => a + b, 0n)

function checkBooks({ requestor, provider, ledger }: World): void {
  const { payment, id } = requestor
  const held = [id, provider.id].map((who) => ledger.balance(who, PLATFORM))
  expect(sum(held), 'money is neither made nor lost').toBe(BALANCE * GLM)
  const allocations = payment.allocations.list(id)
  for (const { totalAmount, spentAmount, remainingAmount } of allocations) {
    expect(remainingAmount >= 0n && spentAmount >= 0n && spentAmount + remainingAmount === totalAmount).toBe(true)
  }
  const sheets = payment.sheets.agreements(id)
  const unpaid = sum(sheets.map((sheet) => sheet.totalAmountAccepted - sheet.totalAmountPaid))
  const reserved = sum(allocations.map(({ remainingAmount }) => remainingAmount))
  expect(unpaid >= 0n).toBe(true)
  // What is paid by the ledger and not yet reported still counts as unpaid here: never less than the truth.
  const paid = sum(sheets.map((sheet) => sheet.totalAmountPaid))
  expect(paid + unpaid + reserved <= BALANCE * GLM, 'never more promised than there was').toBe(true)
}

it('no sequence of moves overspends or leaks', { timeout: 200_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 25 }), async (moves) => {
      const world = await createWorld({ balance: BALANCE * GLM, payment: { testnetCycleIntervalMs: 30_000 } })
      const agreements: string[] = []
      try {
        for (const step of moves) {
          try {
            await make(world, step, agreements)
          } catch (error) {
            if (!(error instanceof PaymentError)) throw error
          }
          checkBooks(world)
        }
        const { payment, id } = world.requestor
        payment.allocations.releaseAll(id)
        await world.clock.advance(200_000)
        const free = BALANCE * GLM - sum(payment.sheets.agreements(id).map((sheet) => sheet.totalAmountAccepted))
        expect(world.ledger.balance(id, PLATFORM), 'all that was accepted is paid, and nothing else').toBe(free)
        const all = await payment.allocations.create(id, { ...NEW, totalAmount: free })
        expect(all.remainingAmount, 'what was not spent is free again').toBe(free)
      } finally {
        await world.stop()
      }
    }),
    { numRuns: 25 },
  )
})
