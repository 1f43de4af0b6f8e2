import { formatAmount, type LinearPricing, linearCost, USAGE_CPU, USAGE_DURATION } from '@emet/core'
import { USAGE_SLACK_RATIO, USAGE_SLACK_SECONDS } from './limits.ts'

/** What we know ourselves about the use of a machine. */
export type UseObserved = {
  /** From asking for the activity until it was destroyed, or until now. */
  readonly seconds: number
  readonly threads: number
  /** Last usage the provider reported, by counter. */
  readonly reported: Readonly<Record<string, number>>
}

/** Undefined when the bill is right, else what is wrong with it. */
export type Verdict = string | undefined

/** The most that a counter can honestly show. Counters we cannot measure are taken as reported. */
function counterLimit(counter: string, use: UseObserved): number {
  const seconds = use.seconds * (1 + USAGE_SLACK_RATIO) + USAGE_SLACK_SECONDS
  if (counter === USAGE_DURATION) return seconds
  if (counter === USAGE_CPU) return seconds * use.threads
  return (use.reported[counter] ?? 0) * (1 + USAGE_SLACK_RATIO)
}

/** The most that an honest bill can come to, in wei. */
export function costLimit(pricing: LinearPricing, use: UseObserved): bigint {
  return linearCost(
    pricing,
    pricing.counters.map((counter) => counterLimit(counter, use)),
  )
}

/** Checks a debit note: its usage must be possible, and its amount the price of that usage. */
export function judgeDebitNote(pricing: LinearPricing, due: bigint, usage: unknown, use: UseObserved): Verdict {
  const vector = usageVectorOf(usage, pricing)
  if (!vector) return `its usage is not ${pricing.counters.length} numbers`
  for (const [at, counter] of pricing.counters.entries()) {
    const known = counter === USAGE_DURATION || counter === USAGE_CPU
    const value = vector[at] ?? 0
    if (known && value > counterLimit(counter, use)) {
      return `it says ${value} for ${counter}, at most ${counterLimit(counter, use).toFixed(1)} is possible`
    }
  }
  const cost = linearCost(pricing, vector)
  return due > cost ? `it asks ${formatAmount(due)}, its usage costs ${formatAmount(cost)}` : undefined
}

/** Checks an invoice, which names no usage: its amount must be possible for the use we saw. */
export function judgeInvoice(pricing: LinearPricing, amount: bigint, accepted: bigint, use: UseObserved): Verdict {
  const limit = costLimit(pricing, use)
  if (amount <= limit || amount <= accepted) return undefined
  return `it asks ${formatAmount(amount)}, at most ${formatAmount(limit)} is possible`
}

/** A usage vector as it comes with a debit note, when it fits the pricing. */
export function usageVectorOf(usage: unknown, pricing: LinearPricing): readonly number[] | undefined {
  const fits =
    Array.isArray(usage) &&
    usage.length === pricing.counters.length &&
    usage.every((value) => typeof value === 'number' && Number.isFinite(value) && value >= 0)
  return fits ? usage : undefined
}
