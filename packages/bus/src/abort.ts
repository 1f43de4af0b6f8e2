/** `work`, or the signal's reason as soon as it aborts. `work` itself goes on; what it then does is ignored. */
export function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    const settle = () => signal.removeEventListener('abort', onAbort)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(settle)
    if (signal.aborted) onAbort()
  })
}

/** The items of `source` until the signal aborts, even when `source` does not notice it. */
export async function* untilAbort<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]()
  let isDone = false
  try {
    for (;;) {
      const item = await orAbort(iterator.next(), signal)
      isDone = item.done === true
      if (item.done) return
      yield item.value
    }
  } finally {
    // Not awaited: a source that waits for something else would hold us up.
    if (!isDone) iterator.return?.()?.catch(() => {})
  }
}
