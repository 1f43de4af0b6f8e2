import { ApiError } from '@emet/api'
import {
  type ActivityState,
  type Agreement,
  type AgreementOperationEvent,
  type AgreementState,
  type Clock,
  type DebitNote,
  fromMs,
  type Invoice,
  type Offer,
  type OfferEvent,
  type Proposal,
  type ProviderEvent,
} from '@emet/core'

/** A failure as the daemon answers it. */
export const failure = (status: number): ApiError =>
  new ApiError('status', `failed with ${status}`, { call: 'test', status })
/** The failure when no daemon is there. */
export const unreachable = (): ApiError => new ApiError('unreachable', 'the daemon does not answer', { call: 'test' })

export const known = <T>(value: T | undefined): T => {
  if (value === undefined) throw failure(404)
  return value
}

/** What a fake daemon remembers, and how its calls go. */
export type Book = ReturnType<typeof createBook>

/** What a test may set at any time. */
export type FakeSettings = {
  /** What a call is to fail with, if anything. */
  fails: (name: string) => Error | undefined
  /** Whether notes that are sent are accepted and paid at once. */
  pays: 'at-once' | 'accepts' | 'never'
}

export function createBook(clock: Clock) {
  let sequence = 0
  let lastUs = 0
  const waiters = new Set<() => void>()
  const agreements = new Map<string, Agreement>()
  const offers = new Map<string, Offer>()
  const proposals = new Map<string, Proposal>()
  const queues = new Map<string, OfferEvent[]>()
  const agreementEvents: AgreementOperationEvent[] = []
  const activityEvents: ProviderEvent[] = []
  const owners = new Map<string, string>()
  const states = new Map<string, ActivityState>()
  const usage = new Map<string, number[]>()
  const notes: DebitNote[] = []
  const invoices: Invoice[] = []
  const calls: { name: string; body: unknown }[] = []

  const settings: FakeSettings = { fails: () => undefined, pays: 'at-once' }

  const id = (prefix: string) => `${prefix}-${++sequence}`
  const tick = () => {
    lastUs = Math.max(lastUs + 1, fromMs(clock.nowMs()))
    return lastUs
  }
  const wake = () => {
    for (const waiter of [...waiters]) waiter()
  }
  const call = async <T>(
    name: string,
    given: { signal?: AbortSignal | undefined; body?: unknown },
    answer: () => T,
  ) => {
    given.signal?.throwIfAborted()
    calls.push({ name, body: given.body })
    const failed = settings.fails(name)
    // An answer takes a moment, as over a socket.
    await Promise.resolve()
    given.signal?.throwIfAborted()
    if (failed) throw failed
    return answer()
  }
  const poll = async <T>(seconds: number, signal: AbortSignal | undefined, read: () => T[]): Promise<T[]> => {
    const found = read()
    if (found.length > 0) return found
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const cancel = clock.setTimer(seconds * 1000, resolve)
    const onAbort = () => reject(signal?.reason)
    waiters.add(resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      cancel()
      waiters.delete(resolve)
      signal?.removeEventListener('abort', onAbort)
    }
    return read()
  }
  const setAgreement = (agreementId: string, state: AgreementState) => {
    const agreement = known(agreements.get(agreementId))
    const approved = state === 'Approved' ? { approvedDate: tick() } : {}
    agreements.set(agreementId, { ...agreement, ...approved, state })
  }
  const commit = (agreementId: string) => {
    setAgreement(agreementId, 'Approved')
    agreementEvents.push({ eventType: 'AgreementApprovedEvent', eventDate: tick(), agreementId })
    wake()
  }
  const terminate = (agreementId: string, terminator: 'Requestor' | 'Provider') => {
    setAgreement(agreementId, 'Terminated')
    agreementEvents.push({
      eventType: 'AgreementTerminatedEvent',
      eventDate: tick(),
      agreementId,
      terminator,
      signature: '',
    })
    wake()
  }
  const addActivityEvent = (activityId: string, eventType: ProviderEvent['eventType']) => {
    const agreementId = known(owners.get(activityId))
    activityEvents.push({ activityId, agreementId, eventType, eventDate: tick() })
    wake()
  }
  return {
    agreements,
    offers,
    proposals,
    queues,
    agreementEvents,
    activityEvents,
    owners,
    states,
    usage,
    notes,
    invoices,
    calls,
    settings,
    waiters,
    id,
    tick,
    wake,
    call,
    poll,
    setAgreement,
    commit,
    terminate,
    addActivityEvent,
  }
}
