/**
 * One agreement on the provider's side, as a state machine. (Golem: task states of the provider agent.)
 *
 *     new --approved--> idle --activity created--> computing --activity ended--> idle ...
 *                        |                            |
 *                        +-----------> closed | broken(code) <----------------+
 *
 * `closed` is an orderly end (by the requestor, or ours after the only activity); `broken` is an end for a reason that the
 * requestor is told as `golem.provider.code`.
 */
import { ProviderError } from './errors.ts'

/** Why a provider ends an agreement, as the network spells it. */
export type BreakCode =
  | 'InitializationError'
  | 'Expired'
  | 'NoActivity'
  | 'DebitNotesDeadline'
  | 'DebitNoteRejected'
  | 'DebitNoteCancelled'
  | 'DebitNoteNotPaid'
  | 'RequestorUnreachable'
  | 'Shutdown'

export type TaskState =
  | { readonly kind: 'idle'; readonly sinceMs: number }
  | { readonly kind: 'computing'; readonly activityId: string }
  | { readonly kind: 'closed'; readonly by: 'requestor' | 'provider' }
  | { readonly kind: 'broken'; readonly code: BreakCode; readonly message: string }

export type TaskMove =
  | { readonly kind: 'activity-created'; readonly activityId: string }
  | { readonly kind: 'activity-ended'; readonly activityId: string; readonly atMs: number }
  | { readonly kind: 'close'; readonly by: 'requestor' | 'provider' }
  | { readonly kind: 'break'; readonly code: BreakCode; readonly message: string }

export const isOver = (state: TaskState): boolean => state.kind === 'closed' || state.kind === 'broken'

/** The one place where a task changes its state. Throws `illegal-move`. */
export function moveTask(state: TaskState, move: TaskMove): TaskState {
  if (!isOver(state)) {
    if (move.kind === 'close') return { kind: 'closed', by: move.by }
    if (move.kind === 'break') return { kind: 'broken', code: move.code, message: move.message }
  }
  if (state.kind === 'idle' && move.kind === 'activity-created')
    return { kind: 'computing', activityId: move.activityId }
  if (state.kind === 'computing' && move.kind === 'activity-ended' && move.activityId === state.activityId) {
    return { kind: 'idle', sinceMs: move.atMs }
  }
  throw new ProviderError('illegal-move', `an agreement that is ${state.kind} cannot take ${move.kind}`, {
    state,
    move,
  })
}
