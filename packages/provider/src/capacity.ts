/** The places for agreements of this machine, shared by all offers. */
export interface Capacity {
  readonly taken: number
  /** Takes a place, unless all are taken. Taking the same one twice is one. */
  take(agreementId: string): boolean
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
    free: (agreementId) => {
      if (holders.delete(agreementId)) for (const listener of listeners) listener()
    },
    onFreed: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
