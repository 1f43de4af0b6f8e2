import { formatAmount } from '@emet/core'

/** Something that costs money as time goes by. */
export type Spender = {
  /** The most it may have cost `aheadSeconds` from now, in wei. */
  exposure(aheadSeconds: number): bigint
  /** Learns the real usage, to make the exposure less of a guess. */
  refresh(): Promise<void>
  /** Ends it because the money is used up. */
  exhaust(): void
}

/** A hard budget, which several rentals may share. Amounts are wei. */
export interface Purse {
  readonly max: bigint
  /** Sum of what was accepted. */
  readonly accepted: bigint
  /** Takes `amount` out, or says why not; a caller whose acceptance fails puts it back. */
  take(amount: bigint): string | undefined
  putBack(amount: bigint): void
  add(spender: Spender): () => void
  /** Ends the spenders when they might pass the budget within `aheadSeconds`. */
  check(aheadSeconds: number): Promise<void>
}

export function createPurse(max: bigint): Purse {
  let accepted = 0n
  let settledExposure = 0n
  const spenders = new Set<Spender>()
  const exposure = (aheadSeconds: number) =>
    [...spenders].reduce((sum, spender) => sum + spender.exposure(aheadSeconds), settledExposure)
  return {
    max,
    get accepted() {
      return accepted
    },
    take: (amount) => {
      if (accepted + amount > max) {
        return `the budget is ${formatAmount(max)}, of which ${formatAmount(accepted)} is used: ${formatAmount(amount)} more is too much`
      }
      accepted += amount
      return undefined
    },
    putBack: (amount) => {
      accepted -= amount
    },
    add: (spender) => {
      spenders.add(spender)
      return () => {
        if (spenders.delete(spender)) settledExposure += spender.exposure(0)
      }
    },
    check: async (aheadSeconds) => {
      if (spenders.size === 0 || exposure(aheadSeconds) < max) return
      await Promise.all([...spenders].map((spender) => spender.refresh()))
      if (exposure(aheadSeconds) < max) return
      for (const spender of [...spenders]) spender.exhaust()
    },
  }
}
