import type { Logger } from '@emet/core'
import { EVENTS_QUEUE_MAX } from './limits.ts'

/** What happens, as one union: for progress bars, logs and the user's own eyes. Amounts are wei, times milliseconds. */
export type SdkEvent = SdkEventBody & {
  readonly timeMs: number
  /** Numbers the rentals of a session from 1; absent for what belongs to none. */
  readonly rental?: number
  readonly providerId?: string
}

export type SdkEventBody =
  | {
      readonly kind: 'offer'
      readonly phase: 'search' | 'found' | 'countered' | 'refused'
      readonly name?: string
      readonly pricePerHour?: bigint
      readonly reason?: string
    }
  | {
      readonly kind: 'agreement'
      readonly phase: 'proposed' | 'signed' | 'refused' | 'ended'
      readonly agreementId: string
      readonly reason?: string
    }
  | {
      readonly kind: 'image'
      readonly phase: 'publish' | 'deploy' | 'deployed' | 'start' | 'ready'
      readonly bytes?: number
      readonly total?: number
      readonly message?: string
    }
  | {
      readonly kind: 'transfer'
      readonly phase: 'begin' | 'progress' | 'done'
      readonly direction: 'put' | 'get'
      readonly path: string
      readonly bytes?: number
      readonly total?: number
    }
  | { readonly kind: 'command'; readonly phase: 'begin' | 'end'; readonly command: string; readonly exitCode?: number }
  | {
      readonly kind: 'payment'
      readonly phase: 'reserved' | 'debit-note' | 'invoice' | 'refused' | 'settled' | 'released'
      readonly amount: bigint
      readonly reason?: string
      readonly transaction?: string
    }
  | { readonly kind: 'warning'; readonly message: string; readonly cause?: unknown }

export type SdkListener = (event: SdkEvent) => void

/** Hands events to listeners. A listener that throws is logged and kept. */
export interface EventHub {
  emit(event: SdkEvent): void
  listen(listener: SdkListener): () => void
  /** The events from now on, until the signal aborts or the hub closes. */
  stream(signal?: AbortSignal): AsyncIterable<SdkEvent>
  close(): void
}

export function createEventHub(log: Logger): EventHub {
  const listeners = new Set<SdkListener>()
  const closing = new AbortController()
  const listen = (listener: SdkListener) => {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }
  return {
    emit: (event) => {
      for (const listener of listeners) {
        try {
          listener(event)
        } catch (error) {
          log.warn('a listener of events has thrown', { error })
        }
      }
    },
    listen,
    stream: (signal) => streamOf(listen, signal ? AbortSignal.any([signal, closing.signal]) : closing.signal),
    close: () => closing.abort(),
  }
}

async function* streamOf(listen: EventHub['listen'], signal: AbortSignal): AsyncGenerator<SdkEvent> {
  const queue: SdkEvent[] = []
  let wake = () => {}
  const stop = listen((event) => {
    if (queue.push(event) > EVENTS_QUEUE_MAX) queue.shift()
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  try {
    while (!signal.aborted || queue.length > 0) {
      const next = queue.shift()
      if (next) yield next
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    stop()
    signal.removeEventListener('abort', onAbort)
  }
}
