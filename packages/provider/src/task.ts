import type { Clock, Logger } from '@emet/core'
import { type BreakCode, deadlineOf, isOver, moveTask, type TaskMove, type TaskState } from './agreement-task.ts'

/** The state of one agreement as it goes on: moved by what happens, or by a deadline. */
export interface Task {
  readonly state: TaskState
  /** Throws `illegal-move`. */
  move(next: TaskMove): void
  /** Ends it for a reason, unless it is over. */
  break(code: BreakCode, message: string): void
  /** Ends it in order, unless it is over. */
  close(by: 'requestor' | 'provider'): void
  /** No deadline runs any more. */
  release(): void
}

export type TaskInput = {
  readonly expirationMs: number
  readonly idleTimeoutSec: number
  readonly onOver: () => void
}

export function createTask({ clock, logger }: { clock: Clock; logger: Logger }, input: TaskInput): Task {
  let state: TaskState = { kind: 'idle', sinceMs: clock.nowMs() }
  let cancelTimer = () => {}

  const armTimer = () => {
    cancelTimer()
    const deadline = deadlineOf(state, input.expirationMs, input.idleTimeoutSec)
    if (!deadline) return
    const { atMs, code, message } = deadline
    cancelTimer = clock.setTimer(atMs - clock.nowMs(), () => breakOff(code, message))
  }
  const move = (next: TaskMove) => {
    state = moveTask(state, next)
    logger.info('a rental moved', {
      state: state.kind,
      move: next.kind,
      ...('code' in next ? { code: next.code } : {}),
    })
    armTimer()
    if (isOver(state)) input.onOver()
  }
  const breakOff = (code: BreakCode, message: string) => {
    if (!isOver(state)) move({ kind: 'break', code, message })
  }
  armTimer()
  return {
    get state() {
      return state
    },
    move,
    break: breakOff,
    close: (by) => {
      if (!isOver(state)) move({ kind: 'close', by })
    },
    release: () => cancelTimer(),
  }
}
