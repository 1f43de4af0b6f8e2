/**
 * The states of an activity and every move between them. Golem: a state is a pair of the current state and the one that
 * a running command leads to.
 *
 *     New -> Initialized --deploy--> Deployed --start--> Ready --run, transfer--> Ready
 *     any --terminate command--> Initialized        any --end of the activity--> Terminated
 */
import { ExeUnitError } from './errors.ts'
import type { CommandKind } from './script.ts'

export type StateName = 'New' | 'Initialized' | 'Deployed' | 'Ready' | 'Terminated'
export type StatePair = readonly [current: StateName, pending: StateName | null]

/** The pair, and how many commands are under way. Several may be only in `Ready`, and only runs and transfers. */
export type ActivityMoment = { readonly pair: StatePair; readonly underWay: number }

export const NEW: ActivityMoment = { pair: ['New', null], underWay: 0 }
export const INITIALIZED: ActivityMoment = { pair: ['Initialized', null], underWay: 0 }
export const TERMINATED: ActivityMoment = { pair: ['Terminated', null], underWay: 0 }

/** The moment while the command runs. Throws `bad-state` or `busy`, with what to do instead. */
export function begin(moment: ActivityMoment, command: CommandKind): ActivityMoment {
  const [current, pending] = moment.pair
  if (command === 'sign' || command === 'terminate') return moment
  if (current === 'Terminated' || pending === 'Terminated') throw wrong('the activity has been terminated', moment.pair)
  const isShared = current === 'Ready' && (command === 'run' || command === 'transfer')
  if (pending !== null && !isShared) {
    throw new ExeUnitError('busy', `Busy: another command leads to ${pending}; wait for it`, { state: moment.pair })
  }
  return { pair: [current, target(moment.pair, command)], underWay: moment.underWay + 1 }
}

/** The moment after a command that was begun. A failed command changes nothing, unlike in the existing exe-unit. */
export function finish(moment: ActivityMoment, command: CommandKind, isOk: boolean): ActivityMoment {
  const [current, pending] = moment.pair
  if (command === 'sign') return moment
  if (current === 'Terminated' || pending === 'Terminated') return moment
  if (command === 'terminate') return isOk ? INITIALIZED : moment
  if (current === 'Initialized' && pending === null) return moment // a terminate command came in between
  if (pending === null || moment.underWay < 1) throw wrong(`${command} was not begun`, moment.pair)
  const underWay = moment.underWay - 1
  return { pair: [isOk ? pending : current, underWay > 0 ? pending : null], underWay }
}

/** The end has begun. */
export function beginEnd(moment: ActivityMoment): ActivityMoment {
  return moment.pair[0] === 'Terminated' ? moment : { ...moment, pair: [moment.pair[0], 'Terminated'] }
}

function target(state: StatePair, command: Exclude<CommandKind, 'sign' | 'terminate'>): StateName {
  const [current] = state
  if (command === 'deploy') {
    if (current === 'Initialized') return 'Deployed'
    if (current === 'Deployed') throw wrong('Activity is deployed - start() command is expected now', state)
    throw wrong('Cannot send command after a successful start()', state)
  }
  if (command === 'start') {
    if (current === 'Deployed') return 'Ready'
    if (current === 'Ready') throw wrong('Cannot send command after a successful start()', state)
  }
  if (current === 'Ready') return 'Ready'
  if (current === 'Deployed') throw wrong('Activity is deployed - start() command is expected now', state)
  throw wrong('Activity is initialized - deploy() command is expected now', state)
}

function wrong(message: string, state: StatePair): ExeUnitError {
  return new ExeUnitError('bad-state', message, { state })
}
