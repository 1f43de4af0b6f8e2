import { CodedError } from '../errors.ts'

/** `illegal-move`: the state has no such move. `facts`: machine, state, move, and the states it would be legal in. */
export class StateError extends CodedError<'illegal-move'> {}

/** One kind of move: the states it may start from, and where it leads. */
export type Move<State extends string> = { readonly from: readonly State[]; readonly to: State }

/** Applies a move of a table, or throws `StateError`. */
export function applyMove<State extends string>(
  machine: string,
  table: Move<State>,
  state: State,
  move: string,
): State {
  if (table.from.includes(state)) return table.to
  throw illegalMove(machine, state, move, table.from)
}

export function illegalMove(machine: string, state: string, move: string, legalIn: readonly string[]): StateError {
  return new StateError('illegal-move', `${machine} is ${state}: cannot ${move}, which needs ${legalIn.join(' or ')}`, {
    machine,
    state,
    move,
    legalIn,
  })
}
