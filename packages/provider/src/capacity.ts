/** The places for agreements of this machine, shared by all offers. */
export interface Capacity {
  readonly taken: number
  /** Takes a place, unless all are taken. Taking the same one twice is one. */
  take(agreementId: string): boolean
  /** Takes a place for an agreement that is signed already, even when there is none left. */
  hold(agreementId: string): void
  free(agreementId: string): void
  onFreed(listener: () => void): () => void
}

export function createCapacity(places: number): Capacity {
  const holders = new Set<string>()
  const listeners = new Set<() => void>()
  return {
    get taken() {
      return holders.size
    },
    take: (agreementId) => {
      if (holders.size >= places && !holders.has(agreementId)) return false
      holders.add(agreementId)
      return true
    },
    hold: (agreementId) => void holders.add(agreementId),
    free: (agreementId) => {
      if (holders.delete(agreementId)) for (const listener of listeners) listener()
    },
    onFreed: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
