/** Lets so many in at one time; the others wait in their order. */
export interface Gate {
  /** Resolves with the way out when there is room. Rejects with the signal's reason when it aborts before. */
  enter(signal: AbortSignal): Promise<() => void>
}

export function createGate(placesMax: number): Gate {
  const waiting = new Set<() => void>()
  let inside = 0
  const letIn = (): (() => void) => {
    let isInside = true
    inside++
    return () => {
      if (!isInside) return
      isInside = false
      inside--
      const [next] = waiting
      next?.()
    }
  }
  return {
    enter: (signal) =>
      new Promise((resolve, reject) => {
        const leaveQueue = () => {
          waiting.delete(onRoom)
          signal.removeEventListener('abort', onAbort)
        }
        const onRoom = () => {
          leaveQueue()
          resolve(letIn())
        }
        const onAbort = () => {
          leaveQueue()
          reject(signal.reason)
        }
        if (signal.aborted) return reject(signal.reason)
        if (inside < placesMax) return resolve(letIn())
        waiting.add(onRoom)
        signal.addEventListener('abort', onAbort, { once: true })
        return undefined
      }),
  }
}
