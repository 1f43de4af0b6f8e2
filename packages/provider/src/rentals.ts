import type { Agreement } from '@emet/core'
import type { Capacity } from './capacity.ts'
import type { ParsedProviderOptions } from './options.ts'
import { createRental, type Rental } from './rental.ts'
import { type History, NO_HISTORY } from './resume.ts'
import type { ProviderDeps, ProviderStatus } from './types.ts'

/** Ends of agreements that are remembered in case the agreement itself is still under way to us. */
const EARLY_ENDS_MAX = 1_000

/** All rentals of this agent. A rental is here until its invoice is delivered. */
export interface Rentals {
  get(agreementId: string): Rental | undefined
  /** Takes a signed agreement on, unless that was done. Undefined when it cannot be understood. */
  adopt(agreement: Agreement, history?: History): Rental | undefined
  ended(agreementId: string, by: 'requestor' | 'provider'): void
  /** Ends all agreements, and those that are still to come. Resolves when nothing is left. */
  shutDown(): Promise<void>
  /** Ends all exe-units at once. */
  kill(): Promise<void>
  finished(): Promise<void>
  list(): ProviderStatus['rentals']
}

export function createRentals(
  deps: ProviderDeps,
  options: ParsedProviderOptions,
  capacity: Capacity,
  signal: AbortSignal,
): Rentals {
  const { logger } = deps
  const rentals = new Map<string, Rental>()
  const earlyEnds = new Set<string>()
  let isShuttingDown = false

  const adopt = (agreement: Agreement, history: History = NO_HISTORY): Rental | undefined => {
    const { agreementId } = agreement
    const known = rentals.get(agreementId)
    if (known) return known
    const rental = create(agreement, history)
    if (!rental) return undefined
    rentals.set(agreementId, rental)
    if (agreement.state === 'Approved') capacity.hold(agreementId)
    void rental.vacated.then(() => capacity.free(agreementId))
    void rental.finished.then(() => rentals.delete(agreementId))
    if (earlyEnds.delete(agreementId)) rental.ended('requestor')
    if (isShuttingDown) rental.break('Shutdown', SHUTDOWN)
    return rental
  }
  const create = (agreement: Agreement, history: History): Rental | undefined => {
    try {
      return createRental(deps, options, { agreement, history, signal })
    } catch (error) {
      logger.error('an agreement cannot be served', { agreementId: agreement.agreementId, error })
      capacity.free(agreement.agreementId)
      return undefined
    }
  }
  const finished = async () => {
    while (rentals.size > 0) await Promise.all([...rentals.values()].map((rental) => rental.finished))
  }
  return {
    get: (agreementId) => rentals.get(agreementId),
    adopt,
    ended: (agreementId, by) => {
      const rental = rentals.get(agreementId)
      if (rental) return rental.ended(by)
      earlyEnds.add(agreementId)
      const [oldest] = earlyEnds
      if (earlyEnds.size > EARLY_ENDS_MAX && oldest !== undefined) earlyEnds.delete(oldest)
    },
    shutDown: () => {
      isShuttingDown = true
      for (const rental of rentals.values()) rental.break('Shutdown', SHUTDOWN)
      return finished()
    },
    kill: async () => void (await Promise.all([...rentals.values()].map((rental) => rental.kill()))),
    finished,
    list: () =>
      [...rentals.values()].map(({ agreementId, state, activities }) => ({
        agreementId,
        state: state.kind,
        activities,
      })),
  }
}

const SHUTDOWN = 'the provider shuts down'
