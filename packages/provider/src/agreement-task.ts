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

/** When a task ends by itself, and why. */
export type Deadline = { readonly atMs: number; readonly code: 'Expired' | 'NoActivity'; readonly message: string }

/** The end of the agreement, or of our patience with an idle one, whichever comes first; undefined when it is over. */
export function deadlineOf(state: TaskState, expirationMs: number, idleTimeoutSec: number): Deadline | undefined {
  if (isOver(state)) return undefined
  const idleMs = state.kind === 'idle' ? state.sinceMs + idleTimeoutSec * 1000 : Number.POSITIVE_INFINITY
  if (idleMs < expirationMs) return { atMs: idleMs, code: 'NoActivity', message: `no activity for ${idleTimeoutSec} s` }
  return { atMs: expirationMs, code: 'Expired', message: 'the agreement has expired' }
}
