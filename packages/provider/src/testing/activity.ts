import type { ProviderClient } from '../types.ts'
import { type Book, failure, known } from './book.ts'

/** The activity API over the book. */
export function createActivity({
  activityEvents,
  owners,
  states,
  usage,
  call,
  poll,
}: Book): ProviderClient['activity'] {
  return {
    listActivities: (given) =>
      call('listActivities', given, () =>
        [...owners].filter(([, agreementId]) => agreementId === given.query.agreementId).map(([one]) => one),
      ),
    getState: (given) => call('getState', given, () => known(states.get(given.params.activityId))),
    setState: (given) =>
      call('setState', given, () => {
        if (states.get(given.params.activityId)?.state[0] !== 'Terminated')
          states.set(given.params.activityId, given.body)
        return null
      }),
    getUsage: (given) =>
      call('getUsage', given, () => ({ currentUsage: usage.get(given.params.activityId), timestamp: 0 })),
    getProviderEvents: async (given) => {
      const { timeout = 5, afterTimestamp } = given.query
      await call('getProviderEvents', given, () => {})
      const read = () => activityEvents.filter(({ eventDate }) => eventDate > afterTimestamp)
      const found = await poll(timeout, given.signal, read)
      if (found.length === 0) throw failure(408)
      return found
    },
  }
}
