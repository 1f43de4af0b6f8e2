/**
 * The states of an activity. `[current, pending]`: the second one is where a command under way leads to.
 *
 *     New -> Initialized -> Deployed -> Ready -> Terminated        (terminate in a script: back to Initialized)
 *
 * The exe-unit decides; the daemon only refuses what can never be. `Unresponsive` is no state of its own: it covers the
 * current state while reports stay away, and is never stored.
 */
import type { ActivityState } from '@emet/core'
import { ActivityError } from './errors.ts'
import { REASON_LENGTH_MAX } from './options.ts'

/** The state of an activity nobody has heard of yet. */
export const NEW_STATE: ActivityState = { state: ['New', null] }
/** The state of one that has ended. */
export const TERMINATED_STATE: ActivityState = { state: ['Terminated', null] }

/** True until the activity has ended, or is ending. Golem: neither element is Terminated. */
export function isAlive({ state: [current, pending] }: ActivityState): boolean {
  return current !== 'Terminated' && pending !== 'Terminated'
}

/** True once it has ended. */
export function isTerminated({ state: [current] }: ActivityState): boolean {
  return current === 'Terminated'
}

/** The state after a report. Throws `illegal-state`: an end is final, and nothing becomes New or Unresponsive. */
export function advance(current: ActivityState, next: ActivityState): ActivityState {
  const [name] = next.state
  if (isTerminated(current)) {
    if (name === 'Terminated') return current
    throw new ActivityError('illegal-state', `the activity is Terminated; it cannot become ${name}`)
  }
  if (next.state.includes('Unresponsive') || (name === 'New' && current.state[0] !== 'New')) {
    throw new ActivityError('illegal-state', `an activity cannot be reported as ${name} from ${current.state[0]}`)
  }
  return {
    state: next.state,
    ...(next.reason == null ? {} : { reason: next.reason.slice(0, REASON_LENGTH_MAX) }),
    ...(next.errorMessage == null ? {} : { errorMessage: next.errorMessage.slice(0, REASON_LENGTH_MAX) }),
  }
}

/** The state as others see it while reports stay away. */
export function coverUnresponsive(state: ActivityState): ActivityState {
  const [current, pending] = state.state
  return current === 'New' || current === 'Terminated' ? state : { ...state, state: ['Unresponsive', pending] }
}
